"""The tier in Redis: batched reads, leases for loaders, tags as versions, a budget for all.

A tag is a random version under a key of its own. An entry carries the versions of its tags as
they were before its load began, and is valid only while all of them are current. So invalidating
a tag means deleting one key, whatever was filled under it, and a client that dies between two
steps leaves behind nothing but a lease, which ends by itself.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from perflab.cache.codec import Codec, CodecError
from perflab.cache.entry import (
    CacheError,
    Entry,
    Fetched,
    Invalidation,
    Lease,
    check_name,
    check_names,
    check_tags,
)
from perflab.cache.redis.capacity import Capacity, Policy, read_capacity, set_capacity
from perflab.cache.redis.channel import Callback, Listener
from perflab.cache.redis.keys import Keys
from perflab.cache.redis.link import RedisUnavailable
from perflab.cache.redis.scripts import FILL, RELEASE, TAKE, VERSION
from perflab.cache.redis.server import Server
from perflab.cache.redis.stats import Counters, RedisStats
from perflab.redis_link import Command, insisting, open_link

_MISS: Final = Fetched("miss")
_UNAVAILABLE: Final = Fetched("unavailable")
_VERSION_BYTES: Final = 12
_VERSION_TTL_MS: Final = 3_600_000
"""At least; fills extend it to what their entries need."""
_TAG_SETS: Final = 4_096
"""Whose names are kept at hand, since callers ask for the same ones again and again."""
_FIRST_POLL_S: Final = 0.002
_LONGEST_POLL_S: Final = 0.02


class RedisTier:
    """Entries in one Redis or Redis Cluster (7.0 or later, or Valkey), shared by processes.

    It belongs to one event loop. Calls made within one tick of that loop become one MGET, or one
    pipeline. No method raises because Redis is away, except ``ping`` and the two for capacity:
    each has an answer that says so, and ``stats()`` counts it.

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
        if not 0 <= jitter < 1:
            raise CacheError(f"jitter must be at least 0 and below 1, not {jitter}")
        self._keys = Keys(prefix)
        self._codec = codec or Codec()
        self._link = open_link(url, cluster=cluster, timeout_s=timeout_s, error=CacheError)
        self._timeout_s = timeout_s
        self._probe_s = probe_s
        self._jitter = jitter
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads times, protects nothing
        self._count = Counters()
        self._server = Server(
            self._link,
            budget_s=budget_s,
            timeout_s=timeout_s,
            failures=failures,
            probe_s=probe_s,
            probe=self._keys.epoch,
            purge_timeout_s=purge_timeout_s,
            channel=self._keys.channel,
        )
        self._circuit = self._server.circuit
        self._refusing_until = float("-inf")
        self._tagged = lru_cache(_TAG_SETS)(self._names_of_tags)
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
        advice = "check that it runs and that the address and password are right"
        async with insisting(
            self._link, self._timeout_s, RedisUnavailable, "does not answer", advice
        ):
            await self._link.call(("GET", self._keys.epoch))

    async def get(self, key: str, tags: Sequence[str] = (), codec: Codec | None = None) -> Fetched:
        """What is stored under ``key``, if it was filled under exactly these tags."""
        check_name(key)
        tags, versions = self._tagged(tags if type(tags) is tuple else check_tags(tags))
        name = self._keys.value(key)
        count = self._count
        if self._circuit.is_open:
            count.unavailable += 1
            return _UNAVAILABLE
        try:
            found = await self._server.read((name, *versions))
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
        if not _is_current(entry, tags, [found[version] for version in versions]):
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

    async def lease(
        self,
        key: str,
        tags: Sequence[str] = (),
        ttl_s: float = 5.0,
        *,
        after: Entry | None = None,
        codec: Codec | None = None,
    ) -> Lease | None:
        """The right to load and fill ``key``; ask for it before loading.

        Args:
            key: what is to be loaded.
            tags: what shall invalidate it.
            ttl_s: how long at most the load may take. If the holder dies, others wait that long.
            after: the entry to be replaced, for a refresh of one that is still there.

        Returns:
            None if somebody else holds it, if a fresh entry newer than ``after`` is there by
            now, or if Redis is away or refuses to write (full, a replica). Call ``wait``, which
            returns False where nobody can be waited for, and then ``get``.
        """
        check_name(key)
        tags, versions = self._tagged(check_tags(tags))
        if self._circuit.is_open or self._refuses:
            return None
        ttl_ms = _milliseconds(ttl_s)
        version_ms = max(_VERSION_TTL_MS, 2 * ttl_ms)
        token = secrets.token_hex(_VERSION_BYTES)
        lease_name = self._keys.lease(key)
        give_back = RELEASE((lease_name,), token)
        take = TAKE((lease_name, self._keys.value(key)), token, ttl_ms)
        read_versions = [
            VERSION((name,), secrets.token_bytes(_VERSION_BYTES), version_ms) for name in versions
        ]
        expires_at = self._clock() + ttl_s
        replies = await self._server.write([take, *read_versions], undo=give_back)
        if replies is None:
            return None
        taken, *current = replies
        if taken is None:
            self._count.leases_refused += 1
            return None
        if self._failed(replies):
            await self._server.write([give_back])
            return None
        stored = taken[1] if len(taken) > 1 else None
        if stored is not None and self._is_newer(stored, after, tags, current, codec):
            self._count.leases_needless += 1
            await self._server.write([give_back])
            return None
        self._count.leases += 1
        return Lease(key, token, tags, tuple(current), expires_at)

    async def fill(
        self,
        lease: Lease,
        entry: Entry,
        ttl_s: float | None = None,
        codec: Codec | None = None,
    ) -> bool:
        """Store what was loaded under ``lease``, and end the lease.

        Redis keeps it for ``ttl_s``, or until the entry's ``stale_until``. The jitter moves that
        and the entry's own times alike.

        Returns:
            False if the lease had ended or the key was purged meanwhile, if Redis is away, or if
            the entry has no time left.

        Raises:
            CacheError: the entry's tags are not the lease's; a CodecError if it cannot be written.
        """
        if set(entry.tags) != set(lease.tags):
            raise CacheError(f"the entry of {lease.key!r} must have the tags of its lease")
        if self._circuit.is_open:
            return False
        now = self._clock()
        spread_s = -self._rng.uniform(0, self._jitter) * max(0.0, entry.expires_at - now)
        lasts_s = (entry.stale_until - now if ttl_s is None else ttl_s) + spread_s
        data = (codec or self._codec).encode(
            msgspec.structs.replace(
                entry,
                expires_at=entry.expires_at + spread_s,
                stale_until=entry.stale_until + spread_s,
                tags=lease.tags,
                versions=lease.versions,
            )
        )
        if lasts_s <= 0:
            await self.release(lease)
            return False
        ttl_ms = _milliseconds(lasts_s)
        version_ms = max(_VERSION_TTL_MS, 2 * ttl_ms)
        commands: list[Command] = [
            ("PEXPIRE", name, version_ms, "GT")  # a shorter time never shortens a longer one
            for name in self._tagged(lease.tags)[1]
        ]
        names = (self._keys.lease(lease.key), self._keys.value(lease.key))
        commands.append(FILL(names, lease.token, data, ttl_ms))
        replies = await self._server.write(commands)
        if replies is None or self._failed(replies):
            return False
        if replies[-1] != 1:
            self._count.fills_refused += 1
            return False
        self._count.fills += 1
        self._count.written_bytes += len(data)
        return True

    async def release(self, lease: Lease) -> None:
        """End a lease without a value, so that others need not wait for it."""
        if not self._circuit.is_open:
            await self._server.write([RELEASE((self._keys.lease(lease.key),), lease.token)])

    async def wait(self, key: str, timeout_s: float) -> bool:
        """Wait for whoever holds the lease of ``key``.

        Returns:
            True when the lease is gone, by a fill or otherwise: look again. False when the time
            is up, or Redis is away or refuses leases: load it oneself.
        """
        check_name(key)
        name = self._keys.lease(key)
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        pause_s = _FIRST_POLL_S
        while not (self._circuit.is_open or self._refuses):
            found = await self._server.read([name])
            if found is not None and found[name] is None:
                return True
            left_s = end - loop.time()
            if left_s <= 0:
                return False
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(1.5 * pause_s, _LONGEST_POLL_S)
        return False

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
        have been lost. ``callback`` runs in the event loop and must not block.
        """
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
        return await read_capacity(self._link, self._timeout_s)

    async def configure_capacity(self, max_bytes: int, policy: Policy = "allkeys-lru") -> Capacity:
        """Set the limit of a server that one owns; RedisUnavailable if it refuses."""
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
        for listener in self._listeners:
            await listener.close()
        await self._server.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _names_of_tags(self, tags: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The tags in order, and where the versions are that entries under them carry."""
        tags = check_tags(tags)
        return tags, (self._keys.epoch, *map(self._keys.tag, tags))

    @property
    def _refuses(self) -> bool:
        """Whether the server lately answered a write with an error: full, a replica, no rights."""
        return time.monotonic() < self._refusing_until

    def _failed(self, replies: Sequence[Any]) -> bool:
        errors = sum(isinstance(reply, BaseException) for reply in replies)
        if errors:
            self._count.error_replies += errors
            self._refusing_until = time.monotonic() + self._probe_s
        return errors > 0

    def _decode(self, data: bytes, codec: Codec | None) -> Entry | None:
        try:
            return (codec or self._codec).decode(data)
        except CodecError:
            self._count.corrupted += 1
            return None

    def _is_newer(
        self,
        stored: bytes,
        after: Entry | None,
        tags: tuple[str, ...],
        current: Sequence[bytes | None],
        codec: Codec | None,
    ) -> bool:
        entry = self._decode(stored, codec)
        return (
            entry is not None
            and _is_current(entry, tags, current)
            and self._clock() < entry.expires_at
            and (after is None or entry.loaded_at > after.loaded_at)
        )


def _is_current(entry: Entry, tags: tuple[str, ...], current: Sequence[bytes | None]) -> bool:
    return entry.tags == tags and entry.versions == tuple(current)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
