"""Hit ratios: SIEVE, which our memory tier is, against W-TinyLFU as theine has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from perflab.cache.policies.simulate import Codes, Policy, simulate
from perflab.cache.policies.synthetic import ZipfAccesses
from perflab.measure.results import Origin, Result, from_estimate
from perflab.measure.statistics import Estimate, mean_of_repetitions
from perflab.progress import Step
from perflab.report.tables import Column, Table, build
from perflab.studies.frames import triple

KEYS: Final = 10_000
ACCESSES: Final = 500_000
ALPHA: Final = 1.0
SIZES: Final = (100, 1_000)
"""Entries: 1 % and 10 % of the keys; the memory tier's default is the second."""
SCAN_EVERY: Final = 10_000
SCAN_KEYS: Final = 2_000
TRACES: Final = 5
OURS: Final[Policy] = "sieve"
RIVAL: Final[Policy] = "w-tinylfu"


@dataclass(frozen=True)
class Ratios:
    """One workload at one cache size: both policies' hit ratios on the same traces."""

    workload: str
    size: int
    rival: tuple[float, ...]
    ours: tuple[float, ...]

    @property
    def difference(self) -> Estimate:
        """Ours less the rival's, paired by trace."""
        return mean_of_repetitions(np.subtract(self.ours, self.rival))


def measure_ratios(
    seed: int,
    step: Step | None = None,
    *,
    accesses: int = ACCESSES,
    traces: int = TRACES,
) -> list[Ratios]:
    """Both policies over ``traces`` seeded traces of each workload."""
    found: dict[tuple[str, int], tuple[list[float], list[float]]] = {
        (workload, size): ([], []) for workload in _SCANS for size in SIZES
    }
    done, total = 0, traces * len(_SCANS)
    for number in range(traces):
        for workload, (scan_every, scan_keys) in _SCANS.items():
            if step:
                step(f"{workload}, trace {number + 1} of {traces}", done, total)
            codes = _codes(
                ZipfAccesses(
                    accesses,
                    keys=KEYS,
                    alpha=ALPHA,
                    seed=seed + number,
                    scan_every=scan_every,
                    scan_keys=scan_keys,
                )
            )
            for size in SIZES:
                rival, ours = found[workload, size]
                rival.append(simulate(RIVAL, codes, size).hit_ratio)
                ours.append(simulate(OURS, codes, size).hit_ratio)
            done += 1
    if step:
        step("", total, total)
    return [
        Ratios(workload, size, tuple(rival), tuple(ours))
        for (workload, size), (rival, ours) in found.items()
    ]


def ratios_frame(ratios: Sequence[Ratios]) -> pd.DataFrame:
    """One row a workload and size, hit ratios as shares."""
    return pd.DataFrame(
        [
            {
                "workload": one.workload,
                "size": one.size,
                **triple("rival", mean_of_repetitions(one.rival)),
                **triple("ours", mean_of_repetitions(one.ours)),
                **triple("difference", one.difference),
            }
            for one in ratios
        ]
    )


def ratios_table(ratios: Sequence[Ratios]) -> Table:
    """Both policies side by side."""
    return build(
        ratios_frame(ratios),
        [
            Column("workload", "workload"),
            Column("size", "entries"),
            Column("rival", "W-TinyLFU (theine)", 4, interval=True),
            Column("ours", "SIEVE (ours)", 4, interval=True),
            Column("difference", "difference", 4, interval=True),
        ],
        title="Hit ratios on the same traces",
        subtitle=f"{KEYS:,} keys, {ACCESSES:,} accesses from an empty cache, {TRACES} traces; means"
        " and paired differences with 95 % intervals.",
    )


def results_of_ratios(ratios: Sequence[Ratios], origin: Origin) -> list[Result]:
    """Our hit ratio of every workload and size, for the run's file."""
    return [
        from_estimate(
            origin,
            mean_of_repetitions([100 * ratio for ratio in one.ours]),
            n=len(one.ours),
            name=f"peers.cache: hit ratio, {one.workload}, {one.size} entries",
            metric="hit_ratio_percent",
        )
        for one in ratios
    ]


_SCANS: Final[dict[str, tuple[int | None, int]]] = {
    f"Zipf {ALPHA}": (None, 0),
    f"Zipf {ALPHA} and a scan of {SCAN_KEYS:,} keys every {SCAN_EVERY:,}": (SCAN_EVERY, SCAN_KEYS),
}


def _codes(accesses: ZipfAccesses) -> Codes:
    keys = np.concatenate([chunk.keys for chunk in accesses.chunks()])
    codes: Codes = np.unique(keys, return_inverse=True)[1].astype(np.int64)
    return codes
