"""A process with a limiter of its own, for tests: checks many times at once, says how many passed.

Its orders are one line of JSON on stdin. It prints ``ready``, waits for a second line, and prints
how many of its checks were allowed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from perflab.ratelimit import Policy, RateLimiter, Subject


async def call(orders: dict[str, Any]) -> int:
    policies = [Policy(**fields) for fields in orders["policies"]]
    # a budget that a busy machine does not exhaust
    async with RateLimiter(
        orders["url"], policies, prefix=orders["prefix"], budget_s=20.0, timeout_s=30.0
    ) as limiter:
        await limiter.ping()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        allowed = 0

        async def caller() -> None:
            nonlocal allowed
            for number in range(orders["checks"]):
                name = policies[number % len(policies)].name
                if (await limiter.check(name, Subject.user("one"))).allowed:
                    allowed += 1

        await asyncio.gather(*(caller() for _ in range(orders["callers"])))
        assert all(one.unavailable == 0 for one in limiter.stats().policies.values())
        return allowed


if __name__ == "__main__":
    print(asyncio.run(call(json.loads(sys.stdin.readline()))), flush=True)
