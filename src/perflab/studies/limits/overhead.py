"""What a check costs: alone, among many, denied, within the process, and in Redis itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from redis.asyncio import Redis as Client

from perflab.measure.statistics import Estimate, independent_quantile
from perflab.ratelimit import Charge, Policy, RateLimiter, Subject
from perflab.services import Redis
from perflab.studies.frames import triple
from perflab.studies.limits.lapse import PATIENCE_S, Undecided, own_limiter
from perflab.studies.loops import in_own_loop

CALLERS: Final = 50
CHECKS: Final = 250
"""Of one repetition among many callers."""
ALONE: Final = 50
"""Of one repetition of a caller alone."""
SUBJECTS: Final = 1_000
CHECK: Final = "a check"

WIDE: Final = Policy(name="wide", limit=1_000_000, period_s=60)
ALSO: Final = Policy(name="also", limit=1_000_000, period_s=60)
AHEAD: Final = Policy(name="ahead", limit=1_000_000, period_s=86_400, lease=20)
FEW: Final = CHECKS // AHEAD.lease
"""Subjects who come back: each as often as a process takes units at once."""
FULL: Final = Policy(name="full", limit=1, period_s=86_400)

Check = Callable[[int], Awaitable[bool]]
"""A check of the number-th subject, and whether it was decided as it should."""


@dataclass(frozen=True)
class Way:
    """One way in which a check is made."""

    name: str
    check: Check
    callers: int
    checks: int


@dataclass(frozen=True)
class Cost:
    """What one way costs for each check."""

    name: str
    callers: int
    us: Estimate
    """Of the caller's time: the median repetition, which leaves out moments in which the machine
    was elsewhere."""
    server_us: float | None
    """Of the server's script; None where it is not asked, or is not the lab's alone."""


def measure_overhead(redis: Redis, rounds: int, seed: int) -> list[Cost]:
    """Each way in ``rounds`` repetitions, in random order within each round; at least 20.

    All checks are admitted, but those that are to be denied. A PING of redis-py's client stands
    beside them: what a round trip costs without any limiter. Returns what ``overhead_table`` and
    ``overhead_plot`` show. Real time: about 2 s at 24 rounds.

    Raises:
        Undecided: a check was not decided by whom, or as, it should have been.
    """
    return in_own_loop(_measure(redis, rounds, seed))


async def _measure(redis: Redis, rounds: int, seed: int) -> list[Cost]:
    rng = np.random.default_rng([seed, 71])
    async with _ways(redis) as (ways, client):
        spent: list[list[float]] = [[] for _ in ways]
        scripts = [0.0] * len(ways)
        for way in ways:
            await _once(way)
        for _ in range(rounds):
            for index in rng.permutation(len(ways)):
                way = ways[index]
                before = await _script_us(client)
                spent[index].append(await _once(way))
                scripts[index] += await _script_us(client) - before
    return [
        Cost(
            way.name,
            way.callers,
            independent_quantile(repetitions, 0.5),
            script_us / (rounds * way.checks) if redis.owned and script_us > 0 else None,
        )
        for way, repetitions, script_us in zip(ways, spent, scripts, strict=True)
    ]


async def _once(way: Way) -> float:
    """Microseconds a check of one repetition."""
    numbers = [range(caller, way.checks, way.callers) for caller in range(way.callers)]

    async def caller(own: range) -> int:
        right = 0
        for number in own:
            right += await way.check(number % SUBJECTS)
        return right

    began = time.perf_counter()
    right = sum(await asyncio.gather(*map(caller, numbers)))
    seconds = time.perf_counter() - began
    if right < way.checks:
        raise Undecided(
            f"{way.name}: {way.checks - right} of {way.checks} checks were not decided as they"
            " should; run the cell again"
        )
    return seconds * 1e6 / way.checks


async def _script_us(client: Any) -> float:
    """Microseconds that the server has spent in scripts."""
    found = (await client.info("commandstats")).get("cmdstat_evalsha", {})
    return float(found.get("usec", 0.0))


@asynccontextmanager
async def _ways(redis: Redis) -> AsyncIterator[tuple[list[Way], Any]]:
    subjects = [Subject.user(number) for number in range(SUBJECTS)]
    pairs = [(Charge(WIDE.name, one), Charge(ALSO.name, one)) for one in subjects]
    async with AsyncExitStack() as stack:
        client: Any = Client.from_url(redis.url(), socket_timeout=None)
        stack.push_async_callback(client.aclose)
        limiter = await stack.enter_async_context(own_limiter(redis, (WIDE, ALSO, AHEAD, FULL)))
        alone = await stack.enter_async_context(
            RateLimiter(None, (WIDE,), budget_s=PATIENCE_S, max_local=2 * SUBJECTS)
        )

        async def ping(_number: int) -> bool:
            return bool(await client.ping())

        async def one(by: RateLimiter, source: str, number: int) -> bool:
            decision = await by.check(WIDE.name, subjects[number])
            return decision.allowed and decision.quotas[0].source == source

        async def both(number: int) -> bool:
            return (await limiter.check_all(pairs[number])).allowed

        async def ahead(number: int) -> bool:
            return (await limiter.check(AHEAD.name, subjects[number % FEW])).allowed

        async def denied(number: int) -> bool:
            decision = await limiter.check(FULL.name, subjects[number])
            return not decision.allowed and decision.quotas[0].source == "memory"

        for subject in subjects:  # used up, then denied once by Redis, and remembered
            await asyncio.gather(*(limiter.check(FULL.name, subject) for _ in range(2)))
        through = partial(one, limiter, "redis")
        yield (
            [
                Way("PING (no limiter)", ping, 1, ALONE),
                Way(CHECK, through, 1, ALONE),
                Way("PING (no limiter)", ping, CALLERS, CHECKS),
                Way(CHECK, through, CALLERS, CHECKS),
                Way("two policies together", both, CALLERS, CHECKS),
                Way(f"{AHEAD.lease} units taken at once", ahead, CALLERS, CHECKS),
                Way("denied and remembered", denied, CALLERS, CHECKS),
                Way("within the process", partial(one, alone, "local"), CALLERS, CHECKS),
            ],
            client,
        )


def label_of(name: str, callers: int) -> str:
    """A way with how many take it."""
    return f"{name}, alone" if callers == 1 else f"{name}, {callers} callers"


def overhead_frame(costs: list[Cost]) -> pd.DataFrame:
    """One row a way."""
    return pd.DataFrame(
        [
            {
                "way": cost.name,
                "label": label_of(cost.name, cost.callers),
                "callers": cost.callers,
                **triple("us", cost.us),
                "server_us": cost.server_us,
            }
            for cost in costs
        ]
    )
