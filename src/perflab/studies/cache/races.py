"""Purges: values whose load began before one, and how long it takes to be seen everywhere."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import numpy as np
import pandas as pd
import redis.asyncio

from perflab.cache import QUERY, MemoryTier, RedisTier, TieredCache
from perflab.measure.statistics import independent_quantile
from perflab.services import Redis
from perflab.studies.cache.driving import PATIENT_S, both_tiers
from perflab.studies.frames import triple
from perflab.studies.loops import in_own_loop
from perflab.studies.prefixes import own_prefix

LOAD_S: Final = 0.02
"""How long a load takes; the purge comes at a random moment of it."""
LATE_S: Final = 0.25
"""After that a purge that has not been seen is given up."""
_CONNECTED_S: Final = 10.0


def measure_races(server: Redis, races: int, seed: int) -> pd.DataFrame:
    """One row a way to cache: how often the old value survived a purge during its load.

    The source changes and is purged while a load that has read the old value is under way;
    whoever asks after that must not get the old value.
    """
    return in_own_loop(_race(server, races, seed))


async def _race(server: Redis, races: int, seed: int) -> pd.DataFrame:
    moments = np.random.default_rng([seed, 13]).uniform(0.1, 0.9, races) * LOAD_S
    prefix = own_prefix(server, "races")
    client = redis.asyncio.Redis.from_url(server.url())
    async with client, both_tiers(server, "races", MemoryTier()) as (cache, _shared):

        async def plain(number: int, moment_s: float) -> bool:
            """GET, load, SET; a purge is a DEL."""
            source, name = ["old"], f"{prefix}{number}"

            async def get() -> str:
                held = await client.get(name)
                if isinstance(held, bytes):
                    return held.decode()
                value = source[0]
                loading.set()
                await asyncio.sleep(LOAD_S)
                await client.set(name, value, px=60_000)
                return value

            loading = asyncio.Event()
            filling = asyncio.create_task(get())
            await loading.wait()
            await asyncio.sleep(moment_s)
            source[0] = "new"
            await client.delete(name)
            await filling
            return await get() == "old"

        async def tiered(number: int, moment_s: float) -> bool:
            source, tag = ["old"], f"tag:{number}"

            async def load() -> str:
                value = source[0]
                loading.set()
                await asyncio.sleep(LOAD_S)
                return value

            async def get() -> str:
                return await cache.get_or_load(f"key:{number}", load, QUERY, [tag])

            loading = asyncio.Event()
            filling = asyncio.create_task(get())
            await loading.wait()
            await asyncio.sleep(moment_s)
            source[0] = "new"
            await cache.invalidate(tags=[tag])
            await filling
            return await get() == "old"

        outcomes = {
            name: await asyncio.gather(*(way(n, float(m)) for n, m in enumerate(moments)))
            for name, way in (("plain cache-aside", plain), ("tiered cache", tiered))
        }
    return pd.DataFrame(
        [
            {"kind": name, "races": races, "survived": sum(outcome)}
            for name, outcome in outcomes.items()
        ]
    )


def measure_purges(server: Redis, purges: int) -> pd.DataFrame:
    """One row a tier: milliseconds from the call of ``invalidate`` until it is seen there.

    The other process is a second cache with connections of its own in this process, so that one
    clock times both ends; its message takes the way through the server that it would take anyway.
    """
    return in_own_loop(_purges(server, purges))


async def _purges(server: Redis, purges: int) -> pd.DataFrame:
    prefix = own_prefix(server, "purges")
    mine, theirs = MemoryTier(), MemoryTier()
    seen: dict[str, list[float]] = {"own memory": [], "Redis": [], "other memory": []}
    async with (
        RedisTier(server.url(), prefix=prefix, budget_s=PATIENT_S) as shared,
        RedisTier(server.url(), prefix=prefix, budget_s=PATIENT_S) as other_shared,
        TieredCache(mine, shared) as cache,
        TieredCache(theirs, other_shared) as other,
    ):

        async def load() -> str:
            return "value"

        async with asyncio.timeout(_CONNECTED_S):
            while not (shared.connected and other_shared.connected):
                await asyncio.sleep(0.001)
        for number in range(purges):
            key, tags = f"key:{number}", (f"tag:{number}",)
            await cache.get_or_load(key, load, QUERY, tags)
            await other.get_or_load(key, load, QUERY, tags)
            began = time.perf_counter()
            purging = asyncio.create_task(cache.invalidate(tags=tags))
            gone: dict[str, float] = {}
            while len(gone) < len(seen) and time.perf_counter() - began < LATE_S:
                await asyncio.sleep(0)
                now = 1_000 * (time.perf_counter() - began)
                if mine.get(key) is None:
                    gone.setdefault("own memory", now)
                if theirs.get(key) is None:
                    gone.setdefault("other memory", now)
                if purging.done():
                    gone.setdefault("Redis", now)
            await purging
            for tier, ms in gone.items():
                seen[tier].append(ms)
    return pd.DataFrame(
        [
            {
                "tier": tier,
                "purges": purges,
                "not_seen": purges - len(times),
                **triple("median", independent_quantile(times, 0.5)),
                **triple("p95", independent_quantile(times, 0.95)),
                "longest": max(times, default=float("nan")),
            }
            for tier, times in seen.items()
        ]
    )
