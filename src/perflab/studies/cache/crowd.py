"""Many requests for one key at once, in this process or in one of several.

As a program it takes on its first line the server's URL, which is on no command line, where
everybody could read it, and then orders as JSON, a line each. For each it gets ready, prints
``ready``, waits for a line, and prints its report as JSON. It imports little, so that several
start quickly.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

import msgspec
import redis.asyncio

from perflab.cache import QUERY, MemoryTier, RedisTier, TieredCache

LOAD_S = 0.25
"""How long the loader takes: long enough for all to be waiting."""
_CONNECTIONS = 50
_PATIENT_S = 20.0


class Orders(msgspec.Struct, frozen=True):
    """What one crowd does."""

    readers: int
    tiered: bool
    """Whether the library is used, or GET and SET as many services do."""
    prefix: str


class Report(msgspec.Struct, frozen=True):
    """What became of it."""

    requests: int
    answered: int
    loads: int
    slowest_s: float


async def crowd(orders: Orders, url: str, ready: Callable[[], object] | None = None) -> Report:
    """All requests at once; ``ready`` is called before them, in a thread, and may wait."""
    loads = 0

    async def load() -> str:
        nonlocal loads
        loads += 1
        await asyncio.sleep(LOAD_S)
        return "the value"

    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url, max_connections=_CONNECTIONS, timeout=_PATIENT_S
    )
    client = redis.asyncio.Redis(connection_pool=pool)
    shared = RedisTier(url, prefix=orders.prefix, budget_s=_PATIENT_S)
    async with client, shared, TieredCache(MemoryTier(), shared) as cache:
        await shared.ping()
        await client.ping()

        async def ask() -> float:
            started = time.perf_counter()
            if orders.tiered:
                await cache.get_or_load("k", load, QUERY, ("crowd",))
            elif await client.get(f"{orders.prefix}plain") is None:
                await client.set(f"{orders.prefix}plain", await load(), ex=60)
            return time.perf_counter() - started

        if ready is not None:
            await asyncio.to_thread(ready)
        took = await asyncio.gather(*(ask() for _ in range(orders.readers)), return_exceptions=True)
    await pool.aclose()
    answered = [one for one in took if isinstance(one, float)]
    return Report(len(took), len(answered), loads, max(answered, default=float("nan")))


def _ready() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def _serve() -> None:
    url = sys.stdin.readline().strip()
    for line in sys.stdin:
        orders = msgspec.json.decode(line, type=Orders)
        report = asyncio.run(crowd(orders, url, _ready))
        print(msgspec.json.encode(report).decode(), flush=True)


if __name__ == "__main__":
    _serve()
