"""Timed calls as columns: what an experiment leaves behind, filtered, saved and read back."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from perflab.errors import PerflabError

ARMS: Final = ("before", "after", "control")
"""The order of an experiment's arms; ``Samples.arm`` holds positions in it."""

_METADATA = b"perflab.samples"
_VERSION = 1


class SamplesError(PerflabError):
    """A file of samples is missing or none of this version, or a filter names no sample."""


@dataclass(frozen=True)
class Samples:
    """Parallel columns, one row a timed call, in the order in which the calls were made."""

    round: NDArray[np.int32]
    arm: NDArray[np.int8]
    operation: NDArray[np.int16]
    """Positions in ``operations``."""
    selectivity: NDArray[np.int8]
    """Positions in ``selectivities``."""
    call: NDArray[np.int16]
    """The call's number within its operation and block, from 0."""
    latency_s: NDArray[np.float64]
    rows: NDArray[np.int64]
    """What the call returned, e.g. the rows that it fetched."""
    operations: tuple[str, ...]
    groups: tuple[str, ...]
    """The group of each operation, parallel to ``operations``."""
    selectivities: tuple[str, ...]
    arms: tuple[str, ...]
    """What the caller named the arms, in the order of ``ARMS``."""
    seed: int

    def __len__(self) -> int:
        return len(self.latency_s)

    def select(
        self,
        operations: Collection[str] | None = None,
        groups: Collection[str] | None = None,
        selectivities: Collection[str] | None = None,
    ) -> Samples:
        """The calls of these operations, groups and selectivities; None keeps all.

        Raises a SamplesError for a name that does not occur.
        """
        keep = np.ones(len(self), dtype=bool)
        if operations is not None:
            keep &= _wanted(operations, self.operations, "operation")[self.operation]
        if groups is not None:
            keep &= _wanted(groups, self.groups, "group")[self.operation]
        if selectivities is not None:
            keep &= _wanted(selectivities, self.selectivities, "selectivity")[self.selectivity]
        return replace(
            self,
            round=self.round[keep],
            arm=self.arm[keep],
            operation=self.operation[keep],
            selectivity=self.selectivity[keep],
            call=self.call[keep],
            latency_s=self.latency_s[keep],
            rows=self.rows[keep],
        )

    def unequal_operations(self) -> tuple[str, ...]:
        """Operations that did not return the same number of rows in every arm.

        The arms of a round get the same parameters, so a difference means that the change
        under test changed answers, and its timing is worth nothing.
        """
        order = np.lexsort((self.arm, self.call, self.operation, self.round))
        rows = self.rows[order].reshape(-1, len(ARMS))
        differ = (rows != rows[:, :1]).any(axis=1)
        found = np.unique(self.operation[order].reshape(-1, len(ARMS))[differ, 0])
        return tuple(self.operations[position] for position in found)

    def to_frame(self) -> pd.DataFrame:
        """One row a call, names as categories."""
        return pd.DataFrame(
            {
                "round": self.round,
                "arm": pd.Categorical.from_codes(self.arm, pd.Index(ARMS)),
                "operation": pd.Categorical.from_codes(self.operation, pd.Index(self.operations)),
                "group": pd.Categorical(
                    np.asarray(self.groups, dtype=object)[self.operation],
                    categories=list(dict.fromkeys(self.groups)),
                ),
                "selectivity": pd.Categorical.from_codes(
                    self.selectivity, pd.Index(self.selectivities)
                ),
                "call": self.call,
                "latency_s": self.latency_s,
                "rows": self.rows,
            }
        )

    def write_parquet(self, path: Path) -> None:
        """One Parquet file (zstd) with the names in its metadata; replaces ``path`` at once."""
        facts = {
            "version": _VERSION,
            "operations": self.operations,
            "groups": self.groups,
            "selectivities": self.selectivities,
            "arms": self.arms,
            "seed": self.seed,
        }
        table = pa.table(
            {
                "round": self.round,
                "arm": _dictionary(self.arm, ARMS),
                "operation": _dictionary(self.operation, self.operations),
                "selectivity": _dictionary(self.selectivity, self.selectivities),
                "call": self.call,
                "latency_s": self.latency_s,
                "rows": self.rows,
            }
        ).replace_schema_metadata({_METADATA: json.dumps(facts).encode()})
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        pq.write_table(table, partial, compression="zstd")
        partial.replace(path)


def read_parquet(path: Path) -> Samples:
    """Samples that ``write_parquet`` wrote; a SamplesError for anything else."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise SamplesError(f"{path}: no Parquet file that can be read: {error}") from None
    stored = (table.schema.metadata or {}).get(_METADATA)
    facts = json.loads(stored) if stored else {}
    if facts.get("version") != _VERSION:
        raise SamplesError(
            f"{path}: no samples of version {_VERSION}; measure again with this perflab"
        )

    def codes(name: str, names: tuple[str, ...], dtype: type[np.integer]) -> NDArray[Any]:
        position = {text: code for code, text in enumerate(names)}
        texts = table[name].cast(pa.string()).to_pylist()
        return np.array([position[text] for text in texts], dtype=dtype)

    operations, selectivities = tuple(facts["operations"]), tuple(facts["selectivities"])
    return Samples(
        round=table["round"].to_numpy(),
        arm=codes("arm", ARMS, np.int8),
        operation=codes("operation", operations, np.int16),
        selectivity=codes("selectivity", selectivities, np.int8),
        call=table["call"].to_numpy(),
        latency_s=table["latency_s"].to_numpy(),
        rows=table["rows"].to_numpy(),
        operations=operations,
        groups=tuple(facts["groups"]),
        selectivities=selectivities,
        arms=tuple(facts["arms"]),
        seed=facts["seed"],
    )


def _dictionary(codes: NDArray[Any], names: tuple[str, ...]) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names, type=pa.string()))


def _wanted(asked: Collection[str], known: tuple[str, ...], what: str) -> NDArray[np.bool_]:
    if isinstance(asked, str):
        raise TypeError(f"{what}: a collection of names, not one string")
    unknown = sorted(set(asked) - set(known))
    if unknown:
        names = ", ".join(dict.fromkeys(known))
        raise SamplesError(f"{what} {unknown[0]!r} was not measured; measured: {names}")
    return np.array([name in asked for name in known])
