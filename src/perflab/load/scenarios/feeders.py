"""Rows of data for a scenario's requests: in its file, or in a CSV file."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from perflab.config import convert_at, error_at
from perflab.load.errors import LoadError
from perflab.load.scenarios import file as written
from perflab.load.scenarios.steps import Feeder

USER: Final = "user"
UNIQUE: Final = "unique"
OWN_NAMES: Final = (USER, UNIQUE)
"""Names that every request knows: the user's number from 0, and a text that no other has."""
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class FeederError(ValueError):
    """Data that cannot be used: which key of the feeder, and why."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


def read_feeders(
    path: Path, tables: Mapping[str, Any], users: int, data: Mapping[str, Path]
) -> tuple[Feeder, ...]:
    """The feeders of a scenario file; a ConfigError names key and reason of what is wrong.

    Args:
        path: the file.
        tables: each a ``Feeder`` as it is written, by name.
        users: how many there are.
        data: CSV files that stand for the feeders of these names; a LoadError if one has none.
    """
    if unknown := set(data) - set(tables):
        there = ", ".join(tables) or "none"
        raise LoadError(f"--data {min(unknown)}: {path} has no such feeder; it has {there}")
    found = []
    for name, table in tables.items():
        if not NAME.fullmatch(name) or name in OWN_NAMES:
            raise error_at(path, ["feeder", name], "cannot be the name of a feeder")
        feeder = convert_at(path, ["feeder", name], table, written.Feeder)
        try:
            found.append(fed(name, feeder, users, beside=path.parent, data=data.get(name)))
        except FeederError as error:
            raise error_at(path, ["feeder", name, error.key], str(error)) from None
    return tuple(found)


def fed(
    name: str, feeder: written.Feeder, users: int, *, beside: Path, data: Path | None
) -> Feeder:
    """The rows of a feeder, their columns named ``name.column``.

    Args:
        name: the feeder's.
        feeder: as it is written.
        users: how many there are; with ``pick = "user"`` each needs a row.
        beside: the folder that its file is looked for in.
        data: a CSV file that stands for whatever is written.

    Raises:
        FeederError: there are no rows, or too few, or their columns are not the same.
    """
    given = [key for key in ("file", "rows", "columns") if getattr(feeder, key)]
    if len(given) != 1:
        raise FeederError(given[-1] if given else "file", "give one of file, rows and columns")
    (key,) = given
    rows: Sequence[Mapping[str, Any]] = feeder.rows
    if data is not None:
        rows = _read(data, key)
    elif feeder.file:
        rows = _read(beside / feeder.file, key)
    elif feeder.columns:
        raise FeederError(
            key, f"its data is yours to give: --data {name}=FILE, a CSV file with these columns"
        )
    columns = feeder.columns or list(rows[0])
    for number, row in enumerate(rows, 1):
        if missing := [column for column in columns if row.get(column) is None]:
            raise FeederError(key, f"row {number} has no {missing[0]!r}")
    if feeder.pick == "user" and len(rows) < users:
        raise FeederError(
            key, f"{len(rows)} rows for {users} users, and with pick = 'user' each needs one"
        )
    named = tuple({f"{name}.{column}": row[column] for column in columns} for row in rows)
    return Feeder(named, feeder.pick)


def _read(path: Path, key: str) -> list[dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows: list[dict[str, Any]] = list(csv.DictReader(lines))
    except FileNotFoundError:
        raise FeederError(key, f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FeederError(key, f"{path}: cannot be read: {error}") from None
    if not rows:
        raise FeederError(key, f"{path}: there is no row below the header")
    return rows
