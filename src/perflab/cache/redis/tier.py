"""The tier in Redis: batched reads, leases for loaders, tags as versions, a budget for all.

A tag is a random version under a key of its own. An entry carries the versions of its tags as
they were before its load began, and is valid only while all of them are current. So invalidating
a tag means deleting one key, whatever was filled under it, and a client that dies between two
steps leaves behind nothing but a lease, which ends by itself.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from perflab.arguments import check_flag, check_hook, check_kind, check_seconds, check_whole
from perflab.cache.codec import Codec
from perflab.cache.entry import (
    CacheError,
    Fetched,
    Invalidation,
    check_name,
    check_names,
    check_tags,
)
from perflab.cache.redis.capacity import Capacity, Policy, read_capacity, set_capacity
from perflab.cache.redis.channel import Callback, Listener
from perflab.cache.redis.keys import Keys
from perflab.cache.redis.leasing import Leasing, is_current
from perflab.cache.redis.link import RedisUnavailable
from perflab.cache.redis.server import Server
from perflab.cache.redis.stats import RedisStats
from perflab.closing import Closing
from perflab.own_loop import OwnLoop
from perflab.redis_link import insisting, open_link

_MISS: Final = Fetched("miss")
_UNAVAILABLE: Final = Fetched("unavailable")


class RedisTier(Leasing, Closing):
    """Entries in one Redis or Redis Cluster (7.0 or later, or Valkey), shared by processes.

    It belongs to one event loop, and a CacheError says so in another. Calls made within one tick
    of that loop become one MGET, or one pipeline. No method raises because Redis is away, except
    ``ping`` and the two for capacity: each has an answer that says so, and ``stats()`` counts it.

    >>> async with RedisTier("redis://localhost:6379/0", prefix="shop:") as tier:
    ...     fetched = await tier.get("user:17", tags=("users",))

    Where and what:
        url: redis://user:password@host:port/db, rediss:// for TLS, unix:// for a socket.
        prefix: of all keys and of the channel; caches with different ones do not meet.
        codec: how values are written where a call does not say.
        cluster: whether ``url`` is any node of a Redis Cluster.
    Outages:
        budget_s: how long a caller waits for a read, lease or fill. 10 ms are some thirty round
            trips of a healthy server nearby, and less than what is worth caching.
        purge_timeout_s: for ``invalidate``, which should rather be late than not done.
        timeout_s: for connecting, and until a connection that hangs is given up. Nobody waits
            that long.
        failures: how many in a row open the breaker. While it is open nothing is asked.
        probe_s: how often an open breaker's server is tried, in the background. It counts as
            recovered when it answers within the budget.
    Time and chance:
        jitter: times to live are shortened by up to this share, so that what was filled together
            does not expire together. Never lengthened: a lifetime is a promise.
        clock: wall-clock seconds; servers and processes should agree on it within what
            staleness allows.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "perflab:",
        codec: Codec | None = None,
        cluster: bool = False,
        budget_s: float = 0.010,
        purge_timeout_s: float = 1.0,
        timeout_s: float = 1.0,
        failures: int = 3,
        probe_s: float = 1.0,
        jitter: float = 0.1,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        for name, value in (
            ("budget_s", budget_s),
            ("purge_timeout_s", purge_timeout_s),
            ("timeout_s", timeout_s),
            ("probe_s", probe_s),
        ):
            check_seconds(name, value, CacheError)
        check_whole("failures", failures, CacheError)
        check_flag("cluster", cluster, CacheError)
        if codec is not None:
            check_kind("codec", codec, Codec, CacheError)
        keys = Keys(prefix)
        self._link = open_link(url, cluster=cluster, timeout_s=timeout_s, error=CacheError)
        self._timeout_s = timeout_s
        self._probe_s = probe_s
        server = Server(
            self._link,
            home=OwnLoop("RedisTier", CacheError),
            budget_s=budget_s,
            timeout_s=timeout_s,
            failures=failures,
            probe_s=probe_s,
            probe=keys.epoch,
            purge_timeout_s=purge_timeout_s,
            channel=keys.channel,
        )
        super().__init__(
            keys,
            codec or Codec(),
            server,
            refused_s=probe_s,
            jitter=jitter,
            clock=clock,
            rng=rng or random.Random(),  # noqa: S311 - spreads times, protects nothing
        )
        self._listeners: list[Listener] = []

    def __repr__(self) -> str:
        return f"<RedisTier at {self._link.where}>"

    @property
    def available(self) -> bool:
        """Whether Redis is asked at all; False while the breaker is open."""
        return not self._circuit.is_open

    @property
    def connected(self) -> bool:
        """Whether invalidations of other processes arrive; False where nobody listens."""
        return bool(self._listeners) and all(one.connected for one in self._listeners)

    async def ping(self) -> None:
        """Return when Redis answers; RedisUnavailable says why it does not. For start-up."""
        self._home.check()
        advice = "check that it runs and that the address and password are right"
        async with insisting(
            self._link, self._timeout_s, RedisUnavailable, "does not answer", advice
        ):
            await self._link.call(("GET", self._keys.epoch))

    async def get(self, key: str, tags: Sequence[str] = (), codec: Codec | None = None) -> Fetched:
        """What is stored under ``key``, if it was filled under exactly these tags."""
        tags, versions = self._tagged(tags if type(tags) is tuple else check_tags(tags))
        name = self._keys.value(check_name(key))
        count = self._count
        if self._circuit.is_open:
            self._home.check()
            count.unavailable += 1
            return _UNAVAILABLE
        try:
            found = await self._server.reads.ask((name, *versions), 1 + len(versions))
        except asyncio.CancelledError:
            count.cancelled += 1
            raise
        if found is None:
            count.unavailable += 1
            return _UNAVAILABLE
        data = found[name]
        if data is None:
            count.misses += 1
            return _MISS
        entry = self._decode(data, codec)
        if entry is None:
            count.misses += 1
            return _MISS
        if not is_current(entry, tags, map(found.get, versions)):
            count.misses += 1
            count.outdated += 1
            return _MISS
        now = self._clock()
        if now < entry.expires_at:
            count.hits += 1
            count.read_bytes += len(data)
            return Fetched("hit", entry, len(data))
        if now < entry.stale_until:
            count.stale += 1
            count.read_bytes += len(data)
            return Fetched("stale", entry, len(data))
        count.misses += 1
        return _MISS

    async def invalidate(
        self, *, keys: Iterable[str] = (), tags: Iterable[str] = (), everything: bool = False
    ) -> bool:
        """Drop values by key and by tag, refuse fills whose load has begun, tell all listeners.

        Those of one tick go together. On one server that is a single transaction; on a cluster
        each key and each tag by itself, and the message last. An empty call does nothing.

        Returns:
            False if that was not done, or nobody knows whether: repeat it. Until then the values
            may be served.
        """
        self._home.check()
        keys = check_names(keys)
        tags = check_tags(tags)
        if not (keys or tags or everything):
            return True
        names = [name for key in keys for name in (self._keys.value(key), self._keys.lease(key))]
        names += map(self._keys.tag, tags)
        if everything:
            names.append(self._keys.epoch)
        if self._circuit.is_open or not await self._server.purge(
            names, Invalidation(keys, tags, everything)
        ):
            self._count.invalidations_failed += 1
            return False
        self._count.invalidations += 1
        return True

    def listen(self, callback: Callback) -> None:
        """Call back for what any process invalidates, this one included, from now on.

        It also calls back with everything when the channel opens and when it breaks: messages may
        have been lost. ``callback`` runs in the event loop and must not block. A tier that was
        closed hears nothing.
        """
        self._home.check()
        check_hook("callback", callback, CacheError)
        if self._link.closed:
            return
        self._listeners.append(
            Listener(
                self._link.client.pubsub,
                self._keys.channel,
                callback,
                silence_s=self._timeout_s,
                retry_s=self._probe_s / 2,
            )
        )

    async def check_capacity(self) -> Capacity:
        """The server's limit and what is wrong with it; RedisUnavailable if it does not say."""
        self._home.check()
        return await read_capacity(self._link, self._timeout_s)

    async def configure_capacity(self, max_bytes: int, policy: Policy = "allkeys-lru") -> Capacity:
        """Set the limit of a server that one owns; RedisUnavailable if it refuses."""
        self._home.check()
        return await set_capacity(self._link, self._timeout_s, max_bytes, policy)

    def stats(self) -> RedisStats:
        """What was counted so far."""
        return self._count.snapshot(
            slow=self._circuit.slow,
            errors=self._circuit.errors + self._server.purges_failed,
            read_batches=self._server.read_batches,
            write_batches=self._server.write_batches,
            breaker_opened=self._circuit.opened,
            breaker_open=self._circuit.is_open,
            connected=self.connected,
            channel_losses=sum(one.losses for one in self._listeners),
        )

    async def close(self) -> None:
        """End listening, let everybody go, close the connections; harmless when called twice.

        What is asked later is answered as in an outage.
        """
        self._home.check()
        for listener in self._listeners:
            await listener.close()
        await self._server.close()
