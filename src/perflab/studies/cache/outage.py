"""Redis goes away under load and comes back: who fails, who waits, when all is well again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from perflab.cache import QUERY, Answer, MemoryTier, RedisTier, TieredCache
from perflab.cache.redis import RedisStats
from perflab.report.not_run import NotRun
from perflab.services import Redis
from perflab.studies.cache.workload import Values
from perflab.studies.database.connections import AWAY_S
from perflab.studies.loops import in_own_loop
from perflab.studies.outages import NoProxy, Strike, outage_for
from perflab.studies.prefixes import own_prefix

CLIENTS: Final = 20
KEYS: Final = 200
LOAD_S: Final = 0.005
"""What the source takes."""
BEFORE_S: Final = 0.8
AFTER_S: Final = 2.2
"""How long requests go on after the server is back: the tier looks once a second."""
RECOVERY_S: Final = 5.0
"""What the tier promises."""
_PAUSE_S: Final = 0.004


@dataclass(frozen=True)
class Outage:
    """What requests saw of an outage."""

    subject: str
    """What went away."""
    stand_in: str
    """The kind of the requests that were answered without it."""
    cause: str
    calls: pd.DataFrame
    """One row a request: at_s, ms, kind (who answered)."""
    away: tuple[float, float]
    failed: int
    recovered_s: float | None
    """From when it was back until it answered a request; None: not within the run."""
    stats: RedisStats | None = None
    """Of the Redis tier, where that is the subject."""


def survive_outage(redis: Redis) -> Outage | NotRun:
    """Requests through both tiers while Redis is stopped and started.

    How it goes away, ``perflab.studies.outages`` says.
    """
    try:
        with outage_for(redis, AWAY_S) as outage:
            return in_own_loop(_survive(redis, outage))
    except NoProxy as why:
        return NotRun("a Redis outage", str(why))


async def _survive(redis: Redis, struck: Strike) -> Outage:
    calls: list[tuple[float, float, str]] = []
    failed = 0
    over = asyncio.Event()
    away = [0.0, 0.0]
    values = Values(1)
    async with (
        RedisTier(struck.url, prefix=own_prefix(redis, "outage")) as shared,
        TieredCache(MemoryTier(), shared) as cache,
    ):
        await shared.ping()
        started = time.perf_counter()

        async def client(rng: np.random.Generator) -> None:
            nonlocal failed
            while not over.is_set():
                code = int(rng.integers(KEYS))

                async def load(code: int = code) -> str:
                    await asyncio.sleep(LOAD_S)
                    return values.of(code)

                sent = time.perf_counter()
                try:
                    answer = await cache.trace(f"key:{code}", load, QUERY, ("outage",))
                except Exception:  # noqa: BLE001 - whatever it is, the caller has no answer
                    failed += 1
                else:
                    ms = 1_000 * (time.perf_counter() - sent)
                    calls.append((sent - started, ms, _who(answer)))
                await asyncio.sleep(_PAUSE_S)

        async def outage() -> None:
            await asyncio.sleep(BEFORE_S)
            away[0] = time.perf_counter() - started
            await asyncio.to_thread(struck.strike)
            away[1] = time.perf_counter() - started
            await asyncio.sleep(AFTER_S)
            over.set()

        await asyncio.gather(
            outage(), *(client(np.random.default_rng([n])) for n in range(CLIENTS))
        )
        stats = shared.stats()
    frame = pd.DataFrame(calls, columns=["at_s", "ms", "kind"])
    back = frame[(frame["kind"] == "Redis") & (frame["at_s"] >= away[1])]["at_s"]
    return Outage(
        subject="Redis",
        stand_in="source",
        cause=struck.cause,
        calls=frame,
        away=(away[0], away[1]),
        failed=failed,
        recovered_s=float(back.min() - away[1]) if len(back) else None,
        stats=stats,
    )


def _who(answer: Answer) -> str:
    if answer.memory == "hit":
        return "memory"
    return "Redis" if answer.redis == "hit" else "source"
