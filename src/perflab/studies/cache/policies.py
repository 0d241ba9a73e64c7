"""Miss ratios of eviction policies on the workload, with the best possible one as the floor."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Final

import pandas as pd

from perflab.cache.policies.curves import Curves, hit_ratio_curves
from perflab.cache.policies.predict import lru_hit_ratio
from perflab.cache.policies.shards import take_sample
from perflab.cache.policies.simulate import Policy
from perflab.cache.traces import Reading
from perflab.profiles import CacheSizes
from perflab.studies.cache.workload import Workload

POLICIES: Final[tuple[Policy, ...]] = ("fifo", "lru", "lfu", "sieve", "w-tinylfu", "min")
LIBRARY: Final = "theine_core"
"""Needed for W-TinyLFU only."""
BEST: Final = "MIN (Belady)"
"""What no policy without knowledge of the future can undercut."""
CHE: Final = "LRU (Che's formula)"


@dataclass(frozen=True)
class PolicyCurves:
    """The curves, and what reading the requests has shown."""

    title: str
    curves: Curves
    formula: dict[int, float]
    """LRU's hit ratio by Che's approximation, by size; empty for a trace, whose requests depend
    on each other."""
    reading: Reading | None
    """Of the trace's file."""
    left_out: tuple[str, ...]
    """Policies whose library is not installed."""

    @property
    def real(self) -> tuple[str, ...]:
        """The names of the policies that a cache could have."""
        return tuple(_NAMES[c.policy] for c in self.curves.curves if c.policy != "min")

    @property
    def reading_sentence(self) -> str:
        """What a reader of a trace must know of its lines; empty where all is well."""
        if self.reading is None or not self.reading.malformed:
            return ""
        first = "; ".join(map(str, self.reading.first))
        return f" {self.reading.malformed:,} malformed lines were left out, the first: {first}."

    def frame(self) -> pd.DataFrame:
        """One row a policy and size: the miss ratio in percent, with its sampling error."""
        rows = []
        for curve in self.curves.curves:
            for point in curve.points:
                miss, half = 100 * (1 - point.hit_ratio), 100 * (point.half_width or 0.0)
                rows.append(
                    {
                        "policy": _NAMES[curve.policy],
                        "size": point.size,
                        "miss": miss,
                        "miss_lo": max(0.0, miss - half),
                        "miss_hi": min(100.0, miss + half),
                    }
                )
        for size, ratio in self.formula.items():
            miss = 100 * (1 - ratio)
            rows.append(
                {"policy": CHE, "size": size, "miss": miss, "miss_lo": miss, "miss_hi": miss}
            )
        return pd.DataFrame(rows)


_NAMES: Final[dict[Policy, str]] = {
    "fifo": "FIFO",
    "lru": "LRU",
    "lfu": "LFU",
    "sieve": "SIEVE",
    "w-tinylfu": "W-TinyLFU",
    "min": BEST,
}


def measure_policies(workload: Workload, sizes: CacheSizes) -> PolicyCurves:
    """Simulate every policy on the generated requests or the whole trace.

    Exact up to the bounds of ``shards``; beyond them on a sample of the keys.
    """
    there = importlib.util.find_spec(LIBRARY) is not None
    policies = [policy for policy in POLICIES if there or policy != "w-tinylfu"]
    sample = take_sample(workload.bounded(sizes.curve_requests), seed=workload.seed)
    curves = hit_ratio_curves(sample, policies)
    formula = {}
    if workload.synthetic:
        shares = workload.shares(workload.first(1))
        formula = {
            point.size: lru_hit_ratio(shares, point.size) for point in curves.curves[0].points
        }
    return PolicyCurves(
        title=workload.title,
        curves=curves,
        formula=formula,
        reading=workload.trace.reading if workload.trace else None,
        left_out=() if there else ("W-TinyLFU",),
    )
