"""Getting a value that no tier has: under a lease, from another process, or from its source."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Final

import msgspec

from perflab.cache.codec import CodecError
from perflab.cache.entry import ABSENT, Entry, Lease
from perflab.cache.flights import Flight
from perflab.cache.loading import Loader, call_loader
from perflab.cache.memory import MemoryTier, Ticket
from perflab.cache.owed import OwedPurges
from perflab.cache.policy import CachePolicy
from perflab.cache.shared import SharedTier

_log = logging.getLogger(__name__)
_NEWEST: Final = Entry(None, math.inf, math.inf, math.inf)


class Wanted(msgspec.Struct, frozen=True):
    """What a request asks for, its names checked."""

    key: str
    loader: Loader
    policy: CachePolicy
    tags: tuple[str, ...]


class Filler:
    """Fills the tiers with what loaders return.

    A value goes into a tier only if nothing invalidated it since its load began: Redis refuses
    it by its lease and the versions of its tags, memory by the ticket.
    """

    def __init__(
        self,
        memory: MemoryTier | None,
        shared: SharedTier | None,
        owed: OwedPurges,
        clock: Callable[[], float],
    ) -> None:
        self._memory = memory
        self._shared = shared
        self._owed = owed
        self._clock = clock

    def ticket(self) -> Ticket | None:
        """To be taken before a value is loaded or fetched, and handed to ``keep``."""
        return None if self._memory is None else self._memory.ticket()

    def keep(self, wanted: Wanted, entry: Entry, ticket: Ticket | None) -> bool:
        """Store in memory, unless it was invalidated since ``ticket`` was taken."""
        memory = self._memory
        if memory is None:
            return False
        return memory.set(wanted.key, entry, ttl_s=wanted.policy.memory_ttl_s, ticket=ticket)

    async def obtain(self, wanted: Wanted, flight: Flight, known: Entry | None) -> Entry:
        """The value: loaded here, or by another process that began after ``known`` was loaded.

        At most one process loads at a time; the others wait for it, and when it fails or dies,
        one of them goes on. After the lease time this one stops waiting and loads by itself, and
        at once where the shared tier is away.
        """
        shared = self._shared
        if shared is None:
            return await self._load(wanted, flight, None)
        policy = wanted.policy
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + policy.lease_s
        while True:
            after = self._outdone_by(wanted, known)
            lease = await shared.lease(
                wanted.key, wanted.tags, policy.lease_s, after=after, codec=policy.codec
            )
            if lease is not None:
                return await self._load_leased(shared, wanted, flight, lease)
            found, away = await self._found(shared, wanted, known)
            if found is not None:
                flight.adopted = True
                return found
            left_s = give_up_at - loop.time()
            if away or left_s <= 0 or not await shared.wait(wanted.key, left_s):
                return await self._load(wanted, flight, None)

    def _outdone_by(self, wanted: Wanted, known: Entry | None) -> Entry | None:
        """The entry that a stored one must be newer than to make the load needless."""
        if self._owed.covers(wanted.key, wanted.tags):
            return _NEWEST
        return known

    async def _load_leased(
        self, shared: SharedTier, wanted: Wanted, flight: Flight, lease: Lease
    ) -> Entry:
        try:
            return await self._load(wanted, flight, lease)
        except BaseException:
            await shared.release(lease)
            raise

    async def _found(
        self, shared: SharedTier, wanted: Wanted, known: Entry | None
    ) -> tuple[Entry | None, bool]:
        """A fresh entry newer than ``known``, now also in memory; whether the tier is away."""
        ticket = self.ticket()
        fetched = await shared.get(wanted.key, wanted.tags, wanted.policy.codec)
        entry = fetched.entry
        if fetched.state != "hit" or entry is None:
            return None, fetched.state == "unavailable"
        if known is not None and entry.loaded_at <= known.loaded_at:
            return None, False
        if self._owed.covers(wanted.key, wanted.tags):
            return None, False
        self.keep(wanted, entry, ticket)
        return entry, False

    async def _load(self, wanted: Wanted, flight: Flight, lease: Lease | None) -> Entry:
        policy = wanted.policy
        ticket = self.ticket()
        began_at = self._clock()
        flight.called = True
        try:
            what = f"{wanted.key!r} (policy {policy.name})"
            value = await call_loader(wanted.loader, policy.hard_timeout_s, what)
        except policy.absent_errors:
            value = ABSENT
        finally:
            now = self._clock()
            flight.load_s = max(0.0, now - began_at)
        fresh_s = policy.negative_ttl_s if value is ABSENT else policy.ttl_s
        if self._shared is None:
            fresh_s = min(fresh_s, policy.memory_ttl_s)
        entry = Entry(
            value=value,
            loaded_at=began_at,
            expires_at=now + fresh_s,
            stale_until=now + fresh_s + (0.0 if value is ABSENT else policy.longest_stale_s),
            load_s=flight.load_s,
            tags=wanted.tags,
            versions=() if lease is None else lease.versions,
        )
        await self._store(wanted, flight, entry, lease, ticket)
        return entry

    async def _store(
        self,
        wanted: Wanted,
        flight: Flight,
        entry: Entry,
        lease: Lease | None,
        ticket: Ticket | None,
    ) -> None:
        if entry.expires_at <= self._clock():  # absent, and not to be kept
            if self._shared is not None and lease is not None:
                await self._shared.release(lease)
            return
        if self._shared is not None and lease is not None:
            try:
                filled = await self._shared.fill(lease, entry, codec=wanted.policy.codec)
            except CodecError as error:
                await self._shared.release(lease)
                _log.warning(
                    "%r (policy %s) stays out of Redis: %s", wanted.key, wanted.policy.name, error
                )
                filled = True
            if not filled:
                return  # purged meanwhile by somebody whose message may still be on its way
            flight.stored = True
        flight.stored |= self.keep(wanted, entry, ticket)
