"""A process with a cache of its own, for tests: says when it is ready, reads, says what it saw.

Its orders are one line of JSON on stdin. It prints ``ready``, waits for a second line, and reads
one key many times at once; its loader prints ``loading`` first. The last line it prints is JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from perflab.cache.memory import MemoryTier
from perflab.cache.policy import CachePolicy
from perflab.cache.redis import RedisTier
from perflab.cache.tiered import TieredCache


async def read(orders: dict[str, Any]) -> dict[str, Any]:
    async def load() -> str:
        print("loading", flush=True)
        await asyncio.sleep(orders["load_s"])
        return "the value"

    policy = CachePolicy(name="p", ttl_s=60.0, hard_timeout_s=orders["hard_timeout_s"])
    # a budget that a busy machine does not exhaust
    shared = RedisTier(orders["url"], prefix=orders["prefix"], budget_s=20.0, timeout_s=30.0)
    async with shared, TieredCache(MemoryTier(), shared) as cache:
        if orders["reachable"]:
            await shared.ping()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        values = await asyncio.gather(
            *(cache.get_or_load("k", load, policy, ["t"]) for _ in range(orders["readers"]))
        )
        total = cache.stats().ledger.total
        return {
            "values": sorted(set(values)),
            "requests": total.requests,
            "loads": total.loader.lookups,
            "imbalances": total.imbalances(),
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(read(json.loads(sys.stdin.readline())))), flush=True)
