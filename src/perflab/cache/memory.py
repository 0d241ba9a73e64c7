"""The tier inside a process: entries in a SIEVE dictionary, forgotten by key, tag and time.

A local copy is a copy of something that others may change, so it lives for a fraction of a
second and is dropped by message. A value whose load began before such a message must not come
back after it: whoever loads or fetches takes a ticket first and hands it to ``set``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final, NewType

import msgspec

from perflab.arguments import check_hook, check_seconds, check_whole
from perflab.cache.entry import CacheError, Entry, Invalidation
from perflab.cache.sieve import Sieve

Ticket = NewType("Ticket", int)
"""A point in the sequence of a tier's invalidations."""

ENTRY_OVERHEAD_BYTES: Final = 600
"""Added to every value's size for its entry, node, key and index, by and large."""

_encode = msgspec.msgpack.Encoder().encode


def encoded_size(entry: Entry) -> int:
    """A value's size in bytes as MessagePack, plus ENTRY_OVERHEAD_BYTES.

    Python objects take several times the room of their encoding. A value that MessagePack does
    not know counts with ``sys.getsizeof``, which leaves out what it refers to.
    """
    value = entry.value
    if isinstance(value, bytes):
        return len(value) + ENTRY_OVERHEAD_BYTES
    try:
        return len(_encode(value)) + ENTRY_OVERHEAD_BYTES
    except (TypeError, ValueError, OverflowError, RecursionError):
        return sys.getsizeof(value) + ENTRY_OVERHEAD_BYTES


class MemoryStats(msgspec.Struct, frozen=True):
    """What a MemoryTier did since it was made; ``hits + misses`` are the calls of ``get``."""

    hits: int
    misses: int
    """Lookups without an answer, the expired ones included."""
    expired: int
    """Misses on an entry that was there, but past its local TTL."""
    evictions: int
    """Entries pushed out before their time."""
    invalidated: int
    """Entries dropped by ``invalidate``."""
    refused: int
    """Calls of ``set`` turned away because of a purge since the ticket was taken."""
    entries: int
    size_bytes: int
    """Of what is held, by the size function; 0 without a byte budget."""


class MemoryTier:
    """At most ``max_entries`` entries, each for at most ``ttl_s`` seconds.

    An entry is returned by ``get`` until its local TTL is over: ``ttl_s``, or less where the
    entry itself expires earlier. ``get_stale`` returns it for as long after that as the entry
    itself allows staleness (``stale_until - expires_at``; nothing by default) and never after
    ``stale_until``. These bounds hold whatever becomes of the other tiers, since they are kept
    by the local clock alone.

    Threads: as ``Sieve``; lookups take no lock, everything else does.
    """

    __slots__ = (
        "_everything",
        "_floor",
        "_invalidated",
        "_key_marks",
        "_keys_by_tag",
        "_max_bytes",
        "_max_marks",
        "_refused",
        "_sequence",
        "_sieve",
        "_size_of",
        "_tag_marks",
        "_ttl_s",
        "_wall",
        "get",
        "get_stale",
    )

    get: Callable[[str], Entry | None]
    """The entry under a key, or None if there is none or its local TTL is over."""
    get_stale: Callable[[str], Entry | None]
    """The entry under a key, also for the time after its TTL that it allows itself."""

    def __init__(
        self,
        max_entries: int = 1000,
        ttl_s: float = 0.3,
        *,
        max_bytes: int | None = None,
        size_of: Callable[[Entry], int] = encoded_size,
        max_marks: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``max_bytes`` bounds the sum of ``size_of`` over the entries held.

        ``max_marks`` bounds what is remembered of invalidations for ``set``'s ticket: that many
        keys and that many tags. A ticket older than the oldest one remembered is refused.
        ``clock`` runs the local TTL; ``wall`` is the clock of the entries' own times.
        """
        check_seconds("ttl_s", ttl_s, CacheError)
        check_whole("max_marks", max_marks, CacheError)
        check_hook("size_of", size_of, CacheError)
        self._sieve: Sieve[str, Entry] = Sieve(
            max_entries, max_bytes=max_bytes, on_remove=self._forget_tags, clock=clock
        )
        self.get = self._sieve.get
        self.get_stale = self._sieve.get_held
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._wall = wall
        self._keys_by_tag: dict[str, set[str]] = {}
        self._max_marks = max_marks
        self._key_marks: dict[str, int] = {}
        self._tag_marks: dict[str, int] = {}
        self._sequence = 0
        self._everything = 0
        self._floor = 0
        self._refused = 0
        self._invalidated = 0

    def __len__(self) -> int:
        return len(self._sieve)

    def ticket(self) -> Ticket:
        """Proof of when a load or fetch began: take it before, hand it to ``set`` after."""
        return Ticket(self._sequence)

    def set(
        self, key: str, entry: Entry, *, ttl_s: float | None = None, ticket: Ticket | None = None
    ) -> bool:
        """Store ``entry`` for ``ttl_s`` (else the tier's), at most until it expires itself.

        False if it was not stored: it has expired or ``ttl_s`` is 0, it exceeds the byte budget,
        or, with a ``ticket``, its key, a tag of it or everything was invalidated since that was
        taken.
        """
        now_wall = self._wall()
        local_s = self._ttl_s if ttl_s is None else ttl_s
        fresh_s = max(0.0, min(local_s, entry.expires_at - now_wall))
        keep_s = 0.0
        if local_s > 0:
            allowed_s = entry.stale_until - entry.expires_at
            keep_s = max(0.0, min(allowed_s, entry.stale_until - now_wall - fresh_s))
        size_bytes = 0 if self._max_bytes is None else self._size_of(entry)
        with self._sieve.lock:
            if ticket is not None and self._purged_since(ticket, key, entry.tags):
                self._refused += 1
                return False
            stored = self._sieve.set(key, entry, fresh_s, keep_s=keep_s, size_bytes=size_bytes)
            if stored:
                for tag in entry.tags:
                    self._keys_by_tag.setdefault(tag, set()).add(key)
            return stored

    def invalidate(self, what: Invalidation) -> int:
        """Drop the keys, whatever bears the tags, or everything; the number of entries dropped.

        Also refuses every ``set`` of these whose ticket was taken before this call.
        """
        with self._sieve.lock:
            self._sequence += 1
            before = len(self._sieve)
            if what.everything:
                self._everything = self._sequence
                self._key_marks.clear()
                self._tag_marks.clear()
                self._sieve.clear()
            else:
                self._mark(self._key_marks, what.keys)
                self._mark(self._tag_marks, what.tags)
                for key in what.keys:
                    self._sieve.remove(key)
                for tag in what.tags:
                    for key in tuple(self._keys_by_tag.get(tag, ())):
                        self._sieve.remove(key)
            dropped = before - len(self._sieve)
            self._invalidated += dropped
            return dropped

    def clear(self) -> None:
        """Drop everything, and refuse every ``set`` whose ticket was taken before."""
        self.invalidate(Invalidation(everything=True))

    def stats(self) -> MemoryStats:
        """The counts so far."""
        with self._sieve.lock:
            held = self._sieve.stats()
            return MemoryStats(
                hits=held.hits,
                misses=held.misses,
                expired=held.expired,
                evictions=held.evictions,
                invalidated=self._invalidated,
                refused=self._refused,
                entries=held.entries,
                size_bytes=held.size_bytes,
            )

    def _purged_since(self, ticket: Ticket, key: str, tags: tuple[str, ...]) -> bool:
        if self._everything > ticket or self._floor > ticket:
            return True
        if self._key_marks.get(key, 0) > ticket:
            return True
        return any(self._tag_marks.get(tag, 0) > ticket for tag in tags)

    def _mark(self, marks: dict[str, int], names: tuple[str, ...]) -> None:
        """Remember that these were purged now, in the order of the purges, the newest last."""
        for name in names:
            marks.pop(name, None)
            marks[name] = self._sequence
            if len(marks) > self._max_marks:
                oldest = next(iter(marks))
                self._floor = max(self._floor, marks.pop(oldest))

    def _forget_tags(self, key: str, entry: Entry) -> None:
        for tag in entry.tags:
            keys = self._keys_by_tag.get(tag)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._keys_by_tag[tag]
