"""The API under test: an ASGI application assembled out of the lab's libraries."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace
from starlette.middleware import Middleware

from perflab.api.account import Account
from perflab.api.authentication import AuthenticationMiddleware
from perflab.api.batch import Batches
from perflab.api.channels import Channels
from perflab.api.credentials import create_table
from perflab.api.cursors import Cursors
from perflab.api.dashboard import Analytics
from perflab.api.entries import Entries
from perflab.api.habits import Habits
from perflab.api.hub_token import HubTokens
from perflab.api.limits import charges, policies_of
from perflab.api.notes import Notes
from perflab.api.openapi import Documentation
from perflab.api.operations import Operations
from perflab.api.parts import Clock, Parts
from perflab.api.passwords import Passwords
from perflab.api.problems import ProblemsMiddleware
from perflab.api.public import Public
from perflab.api.responses import MemoryVariants, Responder, ResponsesMiddleware
from perflab.api.routing import Paths, Templates
from perflab.api.sessions import Sessions
from perflab.api.settings import ApiSettings
from perflab.api.tasks import Tasks
from perflab.asgi import Receive, Scope, Send
from perflab.cache import MemoryTier, RedisTier, RedisUnavailable, TieredCache
from perflab.cache.shared import Purger
from perflab.database.pool import Connection, DatabaseUnavailable, Pool, PoolTimeout
from perflab.monitor import LoopLag, MetricsRegistry, RequestCounts, RequestsMiddleware
from perflab.ratelimit import RateLimiter, RateLimitMiddleware, RateLimitUnavailable
from perflab.realtime import ChannelLog
from perflab.realtime.tokens import Tokens
from perflab.realtime.waiting import Waiting

KEYS_KEPT_S: Final = 24 * 3600.0
"""How long a client may repeat a write under its Idempotency-Key."""
_FORGET_EVERY_S: Final = 3600.0
_MEMORY_ENTRIES: Final = 20_000
_MEMORY_BYTES: Final = 64 * 2**20


def create_app(settings: ApiSettings, *, clock: Clock, beyond: Sequence[Purger] = ()) -> Paths:
    """The application; its lifespan opens what it uses and closes it again.

    An instance belongs to one event loop and one lifespan. From the outside in: counting, errors,
    authentication, limits, compression and ETags, routes.

    Args:
        settings: addresses, secrets, sizes.
        clock: Unix seconds of what is stored; ``time.time`` but for data of another time.
        beyond: caches further out, purged by the same writes.
    """
    without = settings.without
    memory = MemoryTier(_MEMORY_ENTRIES, max_bytes=_MEMORY_BYTES)
    redis = RedisTier(settings.redis, prefix=settings.prefix, budget_s=settings.cache_budget_s)
    channels = ChannelLog(settings.redis, prefix=settings.channels_prefix)
    parts = Parts(
        settings=settings,
        clock=clock,
        pool=Pool(
            settings.postgres,
            max_size=settings.pool_size,
            wait_timeout_s=settings.wait_timeout_s,
            deadline_s=settings.deadline_s,
            settings={"TimeZone": "UTC", "jit": "off"},
            kept="pool" not in without,
        ),
        memory=memory,
        redis=redis,
        cache=TieredCache(beyond=beyond)
        if "cache" in without
        else TieredCache(memory, redis, beyond=beyond),
        limiter=RateLimiter(
            settings.redis,
            [replace(one, lease=1) for one in settings.policies]
            if "leases" in without
            else settings.policies,
            prefix=f"{settings.prefix}rl:",
            budget_s=settings.limiter_budget_s,
        ),
        channels=channels,
        waiting=Waiting(channels, settings.redis),
        cursors=Cursors(settings.secret),
    )
    sessions = Sessions(parts)
    passwords = Passwords(settings.password_threads)
    variants = MemoryVariants()
    responder = Responder(() if "compression" in without else None, store=variants)
    requests, lag = RequestCounts(), LoopLag()
    registry = _registry(parts, responder, variants)
    registry.register("http", requests.stats)
    registry.register("loop", lag.stats)

    async def through_all(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    rooms = (
        Account(parts, sessions, passwords),
        Tasks(parts),
        Habits(parts),
        Entries(parts),
        Notes(parts),
        Analytics(parts),
        Public(parts),
        Channels(parts.channels, parts.waiting),
        HubTokens(Tokens(settings.secret)),
        Batches(parts, through_all),
        Operations(parts, registry),
    )
    charged = charges(settings)
    resources = [one for room in rooms for one in room.routes()]
    described = Documentation(resources, partial(policies_of, charged))
    limits = Middleware(RateLimitMiddleware, limiter=parts.limiter, charges=charged)
    watched = Middleware(RequestsMiddleware, route=Templates(resources).of, counts=requests)
    # no Starlette around it, which would add two layers, both for errors
    app = Paths(
        [*resources, *described.routes()],
        middleware=[
            *(() if "monitoring" in without else (watched,)),
            Middleware(ProblemsMiddleware),
            Middleware(AuthenticationMiddleware, sessions=sessions),
            # outside what makes responses, which are the same for everybody's quota
            *(() if "limiter" in without else (limits,)),
            Middleware(ResponsesMiddleware, responder=responder),
        ],
        lifespan=_lifespan(parts, passwords, None if "monitoring" in without else lag),
    )
    return app


def _registry(parts: Parts, responder: Responder, variants: MemoryVariants) -> MetricsRegistry:
    registry = MetricsRegistry()
    registry.register("cache", parts.cache.stats)
    registry.register("cache_memory", parts.memory.stats)
    registry.register("cache_redis", parts.redis.stats)
    registry.register("channels", parts.channels.stats)
    registry.register("pool", parts.pool.stats)
    registry.register("ratelimit", parts.limiter.stats)
    registry.register("responses", responder.stats)
    registry.register("variants", variants.stats)
    return registry


def _lifespan(
    parts: Parts, passwords: Passwords, lag: LoopLag | None
) -> Callable[[object], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as closing:
            closing.callback(passwords.close)
            if lag is not None:
                await closing.enter_async_context(lag)
            # in this order, so that the cache ends its loads before what they load from closes
            await closing.enter_async_context(parts.pool)
            await closing.enter_async_context(parts.limiter)
            await closing.enter_async_context(parts.redis)
            await closing.enter_async_context(parts.cache)
            await closing.enter_async_context(parts.channels)
            await closing.enter_async_context(parts.waiting)
            await _prepare(parts)
            forgetting = asyncio.create_task(_forget_keys(parts.pool))
            try:
                yield
            finally:
                forgetting.cancel()
                await asyncio.wait([forgetting])

    return lifespan


async def _prepare(parts: Parts) -> None:
    """What the first request should not have to wait for; Redis may be away."""

    async def create(conn: Connection) -> None:
        await create_table(conn)

    await parts.pool.read(create)  # not a write of the pool's: it is harmless to run twice
    with contextlib.suppress(RateLimitUnavailable):
        await parts.limiter.ping()
    with contextlib.suppress(RedisUnavailable):
        await parts.redis.ping()


async def _forget_keys(pool: Pool) -> None:
    while True:
        await asyncio.sleep(_FORGET_EVERY_S)
        with contextlib.suppress(DatabaseUnavailable, PoolTimeout):
            await pool.forget_keys(KEYS_KEPT_S)
