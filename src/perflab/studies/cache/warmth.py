"""The first minute after a start: with empty tiers, and with the most critical users' data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflab.cache import (
    USER_PROFILE,
    CachePolicy,
    MemoryTier,
    Warm,
    WarmReport,
    most_critical,
    warm,
)
from perflab.measure.statistics import Estimate, mean_of_repetitions
from perflab.profiles import CacheSizes
from perflab.progress import Step
from perflab.services import Redis
from perflab.studies.cache.driving import Drive, both_tiers, drive, poisson_s, scaled
from perflab.studies.cache.tiers import TAGS
from perflab.studies.cache.workload import Codes, Values, Workload
from perflab.studies.frames import triple
from perflab.studies.loops import in_own_loop

MINUTE_S: Final = 60.0
LASTS_S: Final = 1.0
"""What the minute takes here: it is scaled, like all lifetimes."""
POLICY: Final = USER_PROFILE
CONCURRENCY: Final = 16
MOST_AT_ONCE: Final = 4
"""A cold start loads nearly everything, so it is driven that many times slower than warm tiers."""
_PARTS: Final = 6


@dataclass(frozen=True)
class Warmth:
    """First minutes, cold and warm in turn."""

    rate_rps: float
    factor: float
    hits: dict[str, list[NDArray[np.bool_]]]
    """By ``cold`` and ``warm``, for each minute: whether a tier answered each request."""
    reports: list[WarmReport]
    """Of the warming before each warm one."""
    late_share: float
    """Of the requests of the worst minute: sent late by the generator."""

    def ratio(self, start: str) -> Estimate:
        """The combined hit ratio over the minute in percent."""
        return mean_of_repetitions([100 * float(np.mean(hits)) for hits in self.hits[start]])

    def row(self, start: str) -> dict[str, object]:
        """The whole minute of one start."""
        return {
            "start": start, **triple("percent", self.ratio(start)), "minutes": len(self.hits[start])
        }  # fmt: skip

    def frame(self) -> pd.DataFrame:
        """One row a start and ten seconds."""
        rows = []
        for start, minutes in self.hits.items():
            parts = [np.array_split(hits, _PARTS) for hits in minutes]
            for part in range(_PARTS):
                percents = [100 * float(np.mean(minute[part])) for minute in parts]
                second = round((part + 0.5) * MINUTE_S / _PARTS)
                estimate = triple("percent", mean_of_repetitions(percents))
                rows.append({"start": start, "second": second, **estimate})
        return pd.DataFrame(rows)


def measure_warmth(
    workload: Workload, redis: Redis, sizes: CacheSizes, step: Step | None = None
) -> Warmth:
    """Live through the first minute of a service, with and without warming before it.

    The most critical users are those with the most requests in another stretch of the workload,
    as yesterday's log would show them. The minute and all lifetimes are scaled.
    """
    factor = MINUTE_S / LASTS_S
    rate_rps = min(sizes.rate_rps, sizes.driven_rps / MOST_AT_ONCE / factor)
    stretches = sizes.warm_rounds + 1
    seen = workload.first(stretches * round(rate_rps * MINUTE_S))
    count = len(seen) // stretches  # of a short trace less, but nothing of today is known yesterday
    # users of equal weight in the order of yesterday: codes are ranks over all stretches
    yesterday = Counter(seen[len(seen) - count :].tolist())
    users = most_critical(yesterday, sizes.warm_users)
    hits: dict[str, list[NDArray[np.bool_]]] = {"cold": [], "warm": []}
    reports: list[WarmReport] = []
    late = 0.0
    order = np.random.default_rng([workload.seed, 17])
    for number in range(sizes.warm_rounds):
        codes = seen[number * count : (number + 1) * count]
        if not len(codes):
            break
        for start in order.permutation(list(hits)):
            prepared = users if start == "warm" else []
            done, report = in_own_loop(_minute(workload, redis, codes, factor, prepared, step))
            hits[str(start)].append(np.array(done.answers, dtype=bool))
            late = max(late, done.late_share)
            if start == "warm":
                reports.append(report)
    return Warmth(count / MINUTE_S, factor, hits, reports, late)


async def _minute(
    workload: Workload,
    redis: Redis,
    codes: Codes,
    factor: float,
    users: list[int],
    step: Step | None,
) -> tuple[Drive, WarmReport]:
    policy = scaled(POLICY, factor)
    values = Values(workload.seed)
    due_s = poisson_s(len(codes), len(codes) / LASTS_S, workload.seed)
    async with both_tiers(redis, "warmth", MemoryTier(1_000, policy.memory_ttl_s)) as (cache, _):
        await warm(cache, list(_rehearsal(values, policy)), concurrency=CONCURRENCY)
        wanted = [Warm(f"key:{user}", partial(_load, values, user), policy, TAGS) for user in users]
        report = await warm(cache, wanted, concurrency=CONCURRENCY, step=step)

        async def answered(code: int) -> bool:
            """Whether a tier had the value."""
            loader = partial(_load, values, code)
            answer = await cache.trace(f"key:{code}", loader, policy, TAGS)
            return "hit" in (answer.memory, answer.redis)

        done = await drive(answered, codes.tolist(), due_s, lambda: cache.ledger.stats().total, [])
    return done, report


def _rehearsal(values: Values, policy: CachePolicy) -> Iterator[Warm]:
    """Keys that nobody asks for: the minute is to show cold tiers, not connections being made.

    Time is scaled, so that each millisecond of a connection's first call would count as
    ``MINUTE_S / LASTS_S`` of them.
    """
    for number in range(4 * CONCURRENCY):
        yield Warm(f"rehearsal:{number}", partial(_load, values, number), policy)


async def _load(values: Values, user: int) -> str:
    return values.of(user)
