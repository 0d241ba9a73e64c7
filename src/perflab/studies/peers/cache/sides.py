"""The sides of the tiered contests: our cache, and cashews with its client-side cache."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final

from redis.asyncio import ConnectionPool

from perflab.cache.codec import Codec
from perflab.cache.memory import MemoryTier
from perflab.cache.policy import CachePolicy
from perflab.cache.redis import RedisTier
from perflab.cache.tiered import TieredCache
from perflab.services import Redis as Server
from perflab.studies.peers.cache.profiles import Profile, profile
from perflab.studies.prefixes import own_prefix

ENTRIES: Final = 500
"""Of each side's memory."""
TTL_S: Final = 3_600
EARLY_S: Final = 3_000
"""From when on cashews refreshes a value early; XFetch decides for itself."""
PATIENCE_S: Final = 2.0
"""The tier's budget here: like its rival it waits for every answer."""
CONNECTIONS: Final = 200
TAGS: Final = ("profiles",)
POLICY: Final = CachePolicy(name="profile", ttl_s=TTL_S, memory_ttl_s=TTL_S, codec=Codec(Profile))


class Ours:
    """Memory, Redis, loader; invalidated by tag; one load at a time over all processes."""

    def __init__(self, server: Server, prefix: str) -> None:
        self._tier = RedisTier(server.url(), prefix=prefix, budget_s=PATIENCE_S)
        self._memory = MemoryTier(ENTRIES, TTL_S)
        self.cache = TieredCache(self._memory, self._tier)
        self.loads = 0
        """How often the loader ran."""

    async def get(self, number: int) -> bool:
        """Whether the profile of ``number`` came back."""
        load = partial(self._load, number)
        found = await self.cache.get_or_load(f"profile:{number}", load, POLICY, TAGS)
        return found.id == number

    async def forget(self) -> None:
        """Empty this process's memory."""
        self._memory.clear()

    async def close(self) -> None:
        """Disconnect."""
        await self.cache.close()
        await self._tier.close()

    async def _load(self, number: int) -> Profile:
        self.loads += 1
        return profile(number)


class Cashews:
    """cashews' client-side cache over Redis, set up to be fast.

    Connections are never waited for and have no timeout, values are not checked by ``repr``.
    """

    def __init__(self, server: Server, prefix: str) -> None:
        from cashews import Cache, thunder_protection
        from cashews.backends.memory import Memory

        self._local: Any = Memory(size=ENTRIES)
        self._cache: Any = Cache()
        self._cache.setup(
            server.url(),
            client_side=True,
            local_cache=self._local,
            client_side_prefix=prefix,
            client_side_listen_timeout=5,
            check_repr=False,
            connection_pool_class=ConnectionPool,
            max_connections=CONNECTIONS,
            socket_timeout=None,
        )
        self.loads = 0
        """How often the loader ran."""
        rules: Any = {"key": "profile:{number}", "ttl": TTL_S}
        early = partial(self._cache.early, **rules, early_ttl=EARLY_S, tags=TAGS)
        self._early: Callable[..., Awaitable[Profile]] = early()(self._load)
        single = self._cache.locked(**rules)(early(protected=False)(self._load))
        self._locked: Callable[..., Awaitable[Profile]] = thunder_protection(key=rules["key"])(
            single
        )

    async def get(self, number: int) -> bool:
        """Tags, early refresh, one load at a time in this process."""
        return (await self._early(number=number)).id == number

    async def get_locked(self, number: int) -> bool:
        """The same, and one load at a time over all processes."""
        return (await self._locked(number=number)).id == number

    async def forget(self) -> None:
        """Empty this process's memory."""
        await self._local.clear()

    async def close(self) -> None:
        """Disconnect."""
        await self._cache.close()

    async def _load(self, number: int) -> Profile:
        self.loads += 1
        return profile(number)


@contextmanager
def opened_ours(runner: asyncio.Runner, server: Server) -> Iterator[tuple[Ours, Ours]]:
    """Our side twice, each alone below a fresh prefix of the lab's."""
    with ExitStack() as stack:
        sides = Ours(server, own_prefix(server, "peers")), Ours(server, own_prefix(server, "peers"))
        for side in sides:
            stack.callback(_close, runner, side)
        yield sides


@contextmanager
def opened_cashews(runner: asyncio.Runner, server: Server) -> Iterator[Cashews]:
    """cashews below a fresh prefix of the lab's."""
    side = Cashews(server, own_prefix(server, "peers"))
    try:
        yield side
    finally:
        _close(runner, side)


def _close(runner: asyncio.Runner, side: Ours | Cashews) -> None:
    runner.run(side.close())
