"""The plan's table of endpoints: each category at its promised rate, and as far as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from perflab.measure.claims import Claims
from perflab.measure.environment import Guarded, guarded
from perflab.measure.statistics import Estimate, Interval, NotEstimable
from perflab.profiles import ApiSizes
from perflab.progress import Step
from perflab.studies.api.ceiling import POSTGRES, REDIS, SERVER, Served
from perflab.studies.api.loads import Load, mean_ms, put_load, quantile_ms, unspoilt
from perflab.studies.api.search import Bracket, bracket, search
from perflab.studies.api.traffic import Traffic
from perflab.studies.frames import triple

MOST_RPS: Final = 8_000.0
"""Above this a generator within the notebook's own process may be the limit."""
LEAST_SHARE: Final = 0.25
"""Of the promised rate: below this the search does not go."""
_WARM_UP_RPS: Final = 40.0
_WARM_UP_S: Final = 0.25
_STREAM: Final = 11


@dataclass(frozen=True, kw_only=True)
class Row:
    """One category."""

    traffic: Traffic
    rate_rps: float
    """The plan's."""
    promised_ms: float
    loads: tuple[Load, ...]
    """Repetitions at the plan's rate."""
    probes: tuple[Load, ...]
    """Loads of the search."""

    @property
    def mean(self) -> Estimate:
        """The average at the plan's rate, in ms.

        Where most loads outran the server there is none, as it grows with the length of the load;
        unless it is too long already.
        """
        estimate = mean_ms(self.loads)
        outran = 2 * sum(load.outran for load in self.loads) > len(self.loads)
        if outran and isinstance(estimate, Interval) and estimate.lo <= self.promised_ms:
            return NotEstimable(
                f"requests came faster than they were answered: {estimate.estimate:.0f} ms so far,"
                " and growing"
            )
        return estimate

    @property
    def by_mean(self) -> Bracket[Load]:
        """The highest rate at which the average keeps the promise."""
        return bracket(self.searched, self.mean_holds)

    @property
    def by_p95(self) -> Bracket[Load]:
        """The same of the 95th percentile, as far as the search for the average's tells."""
        return bracket(self.searched, self.p95_holds)

    @property
    def void(self) -> str:
        """Why the figures at the plan's rate say nothing of the server; empty where they do."""
        return next((load.void for load in self.loads if load.void), "")

    @property
    def n(self) -> int:
        """Requests at the plan's rate."""
        return sum(len(load.ms) for load in self.loads)

    @property
    def refused(self) -> int:
        """Of them, without a good answer."""
        return sum(load.refused for load in self.loads)

    @property
    def searched(self) -> tuple[Load, ...]:
        """What the search goes by: of the good repetitions the one in the middle, and the probes.

        Where all of them are void, there was no search.
        """
        good = [load for load in self.loads if not load.void] or self.loads
        return (sorted(good, key=lambda load: load.mean_ms)[len(good) // 2], *self.probes)

    def mean_holds(self, load: Load) -> bool:
        """Whether the average kept the promise in a load that the server kept up with."""
        return not load.outran and load.mean_ms <= self.promised_ms

    def p95_holds(self, load: Load) -> bool:
        """Whether the 95th percentile did."""
        return not load.outran and load.quantile_ms(0.95) <= self.promised_ms


def measure_rows(
    served: Served,
    traffics: Sequence[Traffic],
    claims: Claims,
    sizes: ApiSizes,
    seed: int,
    step: Step | None = None,
) -> tuple[Row, ...]:
    """Every category that the claims promise a rate and an average for.

    First repetitions at the promised rates, one category after the other in each, then the
    search, which goes beyond what the server can do and leaves it busy. A load that is void is
    put on again, see ``unspoilt``.
    """
    promised = {
        traffic: (
            claims.get(_id(traffic, "rps")).target,
            claims.get(_id(traffic, "latency")).target,
        )
        for traffic in traffics
        if _id(traffic, "rps") in claims and _id(traffic, "latency") in claims
    }
    seeds = iter(np.random.default_rng([seed, _STREAM]).integers(2**31, size=10_000).tolist())
    total = len(promised) * (sizes.repetitions + 1)

    def put(traffic: Traffic, rate_rps: float, least_s: float) -> Load:
        seconds = max(least_s, sizes.requests / rate_rps)
        return unspoilt(lambda: put_load(served, traffic, rate_rps, seconds, next(seeds)))

    loads: dict[Traffic, list[Load]] = {traffic: [] for traffic in promised}
    for traffic in promised:
        put_load(served, traffic, _WARM_UP_RPS, _WARM_UP_S, next(seeds))
    for number in range(sizes.repetitions):
        for position, (traffic, (rate, _)) in enumerate(promised.items()):
            if step:
                step(f"{traffic.label} at {rate:g}/s", number * len(promised) + position, total)
            loads[traffic].append(put(traffic, rate, sizes.load_s))
    rows = []
    for position, (traffic, (rate, limit)) in enumerate(promised.items()):
        if step:
            step(f"{traffic.label}, how far", total - len(promised) + position, total)
        row = Row(
            traffic=traffic,
            rate_rps=rate,
            promised_ms=limit,
            loads=tuple(loads[traffic]),
            probes=(),
        )
        found = search(
            partial(put, traffic, least_s=sizes.probe_s),
            row.mean_holds,
            first=rate,
            most=MOST_RPS,
            least=LEAST_SHARE * rate,
            # below a rate that the machine spoilt there is nothing to look for
            probes=0 if row.searched[0].void else sizes.probes,
            known=row.searched,
        )
        rows.append(replace(row, probes=found[1:]))
    return tuple(rows)


def guarded_rows(
    served: Served,
    traffics: Sequence[Traffic],
    claims: Claims,
    sizes: ApiSizes,
    seed: int,
    step: Step | None = None,
) -> Guarded[tuple[Row, ...]]:
    """``measure_rows`` between two looks at whether the machine gave its cores all the time."""
    return guarded(lambda: measure_rows(served, traffics, claims, sizes, seed, step))


def rows_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """One row a category: its promise, its latency at the plan's rate, and how far it goes."""
    return pd.DataFrame(
        [
            {
                "category": row.traffic.label,
                "about": row.traffic.about,
                "rate_rps": row.rate_rps,
                "promised_ms": row.promised_ms,
                **triple("mean", row.mean),
                **triple("median", quantile_ms(row.loads, 0.5)),
                **triple("p95", quantile_ms(row.loads, 0.95)),
                **triple("p99", quantile_ms(row.loads, 0.99)),
                "n": row.n,
                "refused": row.refused,
                "void": row.void,
                "mean_held": row.by_mean.lower,
                "mean_failed": row.by_mean.upper,
                "p95_held": row.by_p95.lower,
                "p95_failed": row.by_p95.upper,
                "limit": _limit(row.by_mean),
                **{
                    who: float(np.mean([load.reading.share(who) for load in row.loads]))
                    for who in (SERVER, POSTGRES, REDIS)
                },
                "generator": float(
                    np.mean([load.reading.samples.busy_share for load in row.loads])
                ),
            }
            for row in rows
        ]
    )


def probes_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """One row a load, at the plan's rate or of the search."""
    return pd.DataFrame(
        [
            {
                "category": row.traffic.label,
                "rate_rps": load.rate_rps,
                "mean_ms": load.mean_ms,
                "p95_ms": load.quantile_ms(0.95),
                "promised_ms": row.promised_ms,
                "refused": load.refused,
                "outran": load.outran,
                "void": load.void,
            }
            for row in rows
            for load in (*row.loads, *row.probes)
        ]
    )


def _limit(found: Bracket[Load]) -> str:
    """What ended the search."""
    if found.failed is None:
        return "none found"
    if found.failed.void:
        return "the generator"
    return "requests outran the server" if found.failed.outran else "the promised average"


def _id(traffic: Traffic, what: str) -> str:
    return f"api.{traffic.name}.{what}"
