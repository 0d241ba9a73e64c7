"""Leases: the right to load a key, and to fill it with what was loaded."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from perflab.arguments import check_seconds
from perflab.cache.codec import Codec, CodecError
from perflab.cache.entry import CacheError, Entry, Lease, check_name, check_tags
from perflab.cache.redis.keys import Keys
from perflab.cache.redis.scripts import FILL, RELEASE, TAKE, VERSION
from perflab.cache.redis.server import Server
from perflab.cache.redis.stats import Counters
from perflab.redis_link import Command

FIRST_POLL_S: Final = 0.002
LONGEST_POLL_S: Final = 0.02
_VERSION_BYTES: Final = 12
_VERSION_TTL_MS: Final = 3_600_000
"""At least; fills extend it to what their entries need."""
_TAG_SETS: Final = 4_096
"""Whose names are kept at hand, since callers ask for the same ones again and again."""


class Leasing:
    """The half of the Redis tier that writes; ``RedisTier`` is the whole.

    Args:
        keys: the names under which things are.
        codec: how values are written where a call does not say.
        server: what is asked.
        refused_s: for how long no lease is asked for after the server refused to write.
        jitter: the share by which times to live are shortened at most.
        clock: wall-clock seconds.
        rng: for the jitter.
    """

    def __init__(
        self,
        keys: Keys,
        codec: Codec,
        server: Server,
        *,
        refused_s: float,
        jitter: float,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        if not (isinstance(jitter, int | float) and 0 <= jitter < 1):
            raise CacheError(f"jitter must be at least 0 and below 1, not {jitter!r}")
        self._keys = keys
        self._codec = codec
        self._server = server
        self._circuit = server.circuit
        self._refused_s = refused_s
        self._jitter = jitter
        self._clock = clock
        self._rng = rng
        self._count = Counters()
        self._refusing_until = float("-inf")
        self._tagged = lru_cache(_TAG_SETS)(self._names_of_tags)
        self._home = server.home

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
        self._home.check()
        check_name(key)
        check_seconds("ttl_s", ttl_s, CacheError)
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
        self._home.check()
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
        self._home.check()
        if not self._circuit.is_open:
            await self._server.write([RELEASE((self._keys.lease(lease.key),), lease.token)])

    async def wait(self, key: str, timeout_s: float) -> bool:
        """Wait for whoever holds the lease of ``key``.

        Returns:
            True when the lease is gone, by a fill or otherwise: look again. False when the time
            is up, or Redis is away or refuses leases: load it oneself.
        """
        self._home.check()
        check_name(key)
        name = self._keys.lease(key)
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        pause_s = FIRST_POLL_S
        while not (self._circuit.is_open or self._refuses):
            found = await self._server.read([name])
            if found is not None and found[name] is None:
                return True
            left_s = end - loop.time()
            if left_s <= 0:
                return False
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(1.5 * pause_s, LONGEST_POLL_S)
        return False

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
            self._refusing_until = time.monotonic() + self._refused_s
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
            and is_current(entry, tags, current)
            and self._clock() < entry.expires_at
            and (after is None or entry.loaded_at > after.loaded_at)
        )


def is_current(entry: Entry, tags: tuple[str, ...], current: Iterable[bytes | None]) -> bool:
    """Whether the entry was filled under these tags and none of them was purged since."""
    return entry.tags == tags and entry.versions == tuple(current)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
