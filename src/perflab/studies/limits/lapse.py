"""Time lapse: requests at stated times, decided by the real Redis in a fraction of that time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

from perflab.errors import PerflabError
from perflab.ratelimit import Decision, Policy, RateLimiter, Subject
from perflab.ratelimit.policies import ALGORITHMS, US
from perflab.services import Redis
from perflab.studies.prefixes import own_prefix

PATIENCE_S: Final = 5.0
"""What a check may wait here: a slow moment of the machine is no outage."""
_AT_ONCE: Final = 200
"""Checks that are sure to travel as one script call, which decides them in their order."""
_numbers: Final = count()


class Undecided(PerflabError):
    """Redis did not decide what it was asked, so there is nothing to show."""


def each_algorithm(limit: int, period_s: float) -> tuple[Policy, ...]:
    """The same quota under every algorithm."""
    return tuple(
        Policy(
            name=algorithm.replace("_", "-"), limit=limit, period_s=period_s, algorithm=algorithm
        )
        for algorithm in ALGORITHMS
    )


def boundary_us(period_s: float) -> int:
    """A moment at which aligned windows of this period begin, always the same one."""
    period_us = round(period_s * US)
    return 1_700_000_000 * US // period_us * period_us


@asynccontextmanager
async def own_limiter(
    redis: Redis, policies: Iterable[Policy], prefix: str | None = None
) -> AsyncIterator[RateLimiter]:
    """A patient limiter under keys of its own, or under those of ``prefix``."""
    async with RateLimiter(
        redis.url(),
        policies,
        prefix=prefix or own_prefix(redis, "limits"),
        budget_s=PATIENCE_S,
        timeout_s=PATIENCE_S,
    ) as limiter:
        await limiter.ping()
        yield limiter


def someone() -> Subject:
    """A subject that was not asked about before."""
    return Subject.user(next(_numbers))


async def decide_at(limiter: RateLimiter, policy: str, times_us: Sequence[int]) -> list[bool]:
    """Whether each of one subject's requests passes; times in µs since 1970, none before another.

    Raises:
        Undecided: Redis did not decide one of them.
    """
    subject = someone()
    passed: list[bool] = []
    for start in range(0, len(times_us), _AT_ONCE):
        part = times_us[start : start + _AT_ONCE]
        decisions = await asyncio.gather(
            *(limiter.check(policy, subject, now=at / US) for at in part)
        )
        passed += map(by_redis, decisions)
    return passed


def by_redis(decision: Decision) -> bool:
    """Whether the request passes; a Undecided where somebody else than Redis said so."""
    if any(quota.source not in ("redis", "memory") for quota in decision.quotas):
        raise Undecided("Redis did not answer a check in time; run the cell again")
    return decision.allowed
