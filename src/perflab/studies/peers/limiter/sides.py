"""The sides of the limiter's contests: limits, throttled-py, redis-py by itself, and ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

from redis.asyncio import Redis

from perflab.ratelimit import Policy, RateLimiter, Subject
from perflab.ratelimit.policies import Algorithm
from perflab.services import Redis as Server
from perflab.studies.prefixes import own_prefix

Decide = Callable[[int], Awaitable[bool]]
"""Decides a request of the number-th subject and says whether it may pass."""

LIMIT: Final = 1_000
PERIOD_S: Final = 900
"""The API's quota: 1,000 in a quarter of an hour."""
PATIENCE_S: Final = 2.0
"""The limiter's budget here: like its rivals it waits for every answer."""


@asynccontextmanager
async def ours(server: Server, algorithm: Algorithm) -> AsyncIterator[Decide]:
    """The limiter under keys of its own."""
    policy = Policy(name="api", limit=LIMIT, period_s=PERIOD_S, algorithm=algorithm)
    prefix = own_prefix(server, "peers")
    async with RateLimiter(server.url(), [policy], prefix=prefix, budget_s=PATIENCE_S) as limiter:
        await limiter.ping()

        async def decide(number: int) -> bool:
            decision = await limiter.check("api", Subject.user(number))
            return decision.allowed and decision.quotas[0].source == "redis"

        yield decide


@asynccontextmanager
async def limits_moving_window(server: Server, *, timeouts: bool) -> AsyncIterator[Decide]:
    """limits' asyncio moving window over redis-py's client."""
    from limits import RateLimitItemPerMinute
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import MovingWindowRateLimiter

    options: dict[str, Any] = {} if timeouts else {"socket_timeout": None}
    storage: Any = RedisStorage(
        f"async+{server.url()}",
        implementation="redispy",
        key_prefix=own_prefix(server, "peers"),
        **options,
    )
    limiter = MovingWindowRateLimiter(storage)
    item = RateLimitItemPerMinute(LIMIT, PERIOD_S // 60)

    async def decide(number: int) -> bool:
        admitted: bool = await limiter.hit(item, str(number))
        return admitted

    try:
        yield decide
    finally:
        await storage.bridge.storage.aclose()


@asynccontextmanager
async def throttled_gcra(server: Server, *, timeouts: bool) -> AsyncIterator[Decide]:
    """throttled-py's asyncio GCRA, whose burst is the limit as ours is."""
    from throttled.asyncio import Throttled, rate_limiter, store

    options: dict[str, Any] = {} if timeouts else {"SOCKET_TIMEOUT": None}
    kept: Any = store.RedisStore(server=server.url(), options=options)
    throttle = Throttled(
        using="gcra",
        quota=rate_limiter.per_duration(timedelta(seconds=PERIOD_S), LIMIT),
        store=kept,
        key_prefix=own_prefix(server, "peers").rstrip(":"),
    )

    async def decide(number: int) -> bool:
        return not (await throttle.limit(str(number))).limited

    try:
        yield decide
    finally:
        await kept._backend.get_client().connection_pool.disconnect()


@asynccontextmanager
async def bare_script(server: Server) -> AsyncIterator[Decide]:
    """No limiter: redis-py sends each caller's script call, and the script does next to nothing."""
    client: Any = Redis.from_url(server.url(), socket_timeout=None)
    count = client.register_script("return redis.call('INCR', KEYS[1])")
    prefix = own_prefix(server, "peers")

    async def decide(number: int) -> bool:
        return int(await count([f"{prefix}{number}"])) > 0

    try:
        yield decide
    finally:
        await client.aclose()


async def warm(decide: Decide, callers: int) -> None:
    """Open as many connections as the contest will use."""
    await asyncio.gather(*map(decide, range(callers)))
