"""Every decision recounted by brute force: what passed that an exact limit would have refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflab.ratelimit import Policy
from perflab.ratelimit.policies import US
from perflab.services import Redis
from perflab.studies.limits.admission import most_within
from perflab.studies.limits.lapse import (
    boundary_us,
    by_redis,
    decide_at,
    each_algorithm,
    own_limiter,
    someone,
)
from perflab.studies.loops import in_own_loop
from perflab.studies.prefixes import own_prefix

Seconds = NDArray[np.float64]
Arrivals = Callable[[np.random.Generator], Seconds]

LIMIT: Final = 50
PERIOD_S: Final = 60.0
PERIODS: Final = 10
CALLERS: Final = 100
LIMITERS: Final = 4
CROWD: Final = f"{CALLERS} callers at once, over {LIMITERS} limiters"
_DAY_S: Final = 86_400.0
"""A period in which nothing is freed while a crowd asks."""


@dataclass(frozen=True)
class Recount:
    """Decisions beside those of an exact limit that saw the same admissions."""

    asked: int
    admitted: int
    over: int
    """Admitted although the last period was full."""
    needless: int
    """Refused although the last period had room."""
    worst: int
    """The most admitted in any period."""


def recount(times_us: Sequence[int], passed: Sequence[bool], policy: Policy) -> Recount:
    """For each request count all that was admitted before it: no state, no cleverness, O(n²)."""
    times = np.array(times_us, np.int64)
    admitted = np.zeros(len(times), np.int64)
    taken = over = needless = 0
    for at, allowed in zip(times, passed, strict=True):
        used = int(np.count_nonzero(admitted[:taken] > at - policy.period_us))
        if allowed:
            over += used >= policy.limit
            admitted[taken] = at
            taken += 1
        else:
            needless += used < policy.limit
    worst = most_within(admitted[:taken], policy.period_us)
    return Recount(len(times), taken, over, needless, worst)


def measure_over_admission(redis: Redis, seed: int) -> pd.DataFrame:
    """One row a kind of traffic and algorithm, for ``over_admission_table``. Time lapse.

    Columns: traffic, algorithm, limit, and the fields of ``Recount``. The last kind of traffic is
    in real time: so many callers at one moment that order means nothing, only how many pass.
    """
    return in_own_loop(_measure(redis, seed))


async def _measure(redis: Redis, seed: int) -> pd.DataFrame:
    policies = each_algorithm(LIMIT, PERIOD_S)
    rows = []
    async with own_limiter(redis, policies) as limiter:
        for number, (traffic, arrivals) in enumerate(TRAFFIC.items()):
            offsets = arrivals(np.random.default_rng([seed, number]))
            times = [boundary_us(PERIOD_S) + int(at * US) for at in np.sort(offsets)]
            for policy in policies:
                found = recount(times, await decide_at(limiter, policy.name, times), policy)
                rows.append(_row(traffic, policy, found))
    rows += [_row(CROWD, policy, found) for policy, found in await _crowd(redis)]
    return pd.DataFrame(rows)


def _row(traffic: str, policy: Policy, found: Recount) -> dict[str, object]:
    return {
        "traffic": traffic,
        "algorithm": policy.algorithm,
        "limit": policy.limit,
        **vars(found),
        "worst_percent": 100 * found.worst / policy.limit,
    }


async def _crowd(redis: Redis) -> list[tuple[Policy, Recount]]:
    """All callers ask at once, through several limiters on the same keys."""
    policies = each_algorithm(LIMIT, _DAY_S)
    prefix = own_prefix(redis, "crowd")
    found = []
    async with AsyncExitStack() as stack:
        limiters = [
            await stack.enter_async_context(own_limiter(redis, policies, prefix))
            for _ in range(LIMITERS)
        ]
        for policy in policies:
            subject = someone()
            decisions = await asyncio.gather(
                *(limiters[n % LIMITERS].check(policy.name, subject) for n in range(CALLERS))
            )
            passed = sum(map(by_redis, decisions))
            over, needless = max(0, passed - LIMIT), max(0, LIMIT - passed)
            found.append((policy, Recount(CALLERS, passed, over, needless, passed)))
    return found


def _poisson(share: float) -> Arrivals:
    def arrivals(rng: np.random.Generator) -> Seconds:
        count = rng.poisson(share * LIMIT * PERIODS)
        return rng.uniform(0, PERIODS * PERIOD_S, count)

    return arrivals


def _bursts(rng: np.random.Generator) -> Seconds:
    """From 1 to twice the limit at once, on average once a period."""
    starts = rng.uniform(0, PERIODS * PERIOD_S, PERIODS)
    return np.repeat(starts, rng.integers(1, 2 * LIMIT, PERIODS, endpoint=True))


def _boundaries(_rng: np.random.Generator) -> Seconds:
    """The limit just before every other boundary, the limit right after it, then all the time."""
    edges = np.arange(1, PERIODS, 2) * PERIOD_S
    drip = edges[:, None] + np.arange(1, 3 * LIMIT) * PERIOD_S / (3 * LIMIT)
    return np.concatenate([np.repeat(edges - 0.001, LIMIT), np.repeat(edges, LIMIT), drip.ravel()])


TRAFFIC: Final[Mapping[str, Arrivals]] = {
    "random, 80 % of the limit": _poisson(0.8),
    "random, three times the limit": _poisson(3.0),
    "bursts of up to twice the limit": _bursts,
    "adversarial: around boundaries": _boundaries,
}
