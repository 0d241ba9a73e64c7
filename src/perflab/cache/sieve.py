"""SIEVE with times to live: a dictionary of bounded size that keeps what is asked for again.

SIEVE (Zhang et al., NSDI '24): entries stand in a queue in the order of their insertion. A hit
only marks its entry; nothing moves. When room is needed, a hand walks from the oldest entry
towards the newest, clears the marks that it passes and evicts the first entry without one; the
next walk begins where this one ended.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import msgspec

from perflab.arguments import check_whole
from perflab.cache.entry import CacheError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SieveStats(msgspec.Struct, frozen=True):
    """What a Sieve did since it was made; ``hits + misses`` are its lookups."""

    hits: int
    misses: int
    """Lookups without an answer, the expired ones included."""
    expired: int
    """Misses on an entry that was there, but past its time: a longer TTL would have hit."""
    evictions: int
    """Entries pushed out before their time, because room was needed."""
    entries: int
    """Held now, those past their time included that nobody has asked for since."""
    size_bytes: int
    """The sum of the sizes given to ``set`` of what is held now."""


class _Node(Generic[K, V]):
    __slots__ = ("drop_at", "expires_at", "key", "newer", "older", "size_bytes", "value", "visits")

    def __init__(
        self, key: K, value: V, expires_at: float, drop_at: float, size_bytes: int
    ) -> None:
        self.key = key
        self.value = value
        self.expires_at = expires_at
        self.drop_at = drop_at
        self.size_bytes = size_bytes
        # SIEVE needs one bit here. Counting instead gives the number of hits, collected when
        # the bit is cleared, without a second counter on the path of every hit.
        self.visits = 0
        self.newer: _Node[K, V] | None = None
        self.older: _Node[K, V] | None = None


class Sieve(Generic[K, V]):
    """At most ``max_entries`` values, each for its own time; all operations are O(1) amortised.

    ``None`` cannot be stored, since ``get`` means "nothing" by it.

    Threads: ``get`` takes no lock and is safe beside every other call under CPython's global
    interpreter lock; whatever changes the dictionary takes ``lock``. Counts of hits and misses
    are exact within one thread; increments by two threads at once may be lost.
    """

    __slots__ = (
        "_clock",
        "_evictions",
        "_expired",
        "_hand",
        "_hits",
        "_max_bytes",
        "_max_entries",
        "_misses",
        "_newest",
        "_nodes",
        "_oldest",
        "_on_remove",
        "_size_bytes",
        "get",
        "lock",
    )

    get: Callable[[K], V | None]
    """The value under a key, or None if there is none or its time is over."""

    def __init__(
        self,
        max_entries: int,
        *,
        max_bytes: int | None = None,
        on_remove: Callable[[K, V], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``max_bytes`` bounds the sum of the sizes given to ``set``.

        ``on_remove`` is called with every key and value that leaves (evicted, past its time,
        removed or overwritten) while ``lock`` is held.
        """
        check_whole("max_entries", max_entries, CacheError)
        if max_bytes is not None:
            check_whole("max_bytes", max_bytes, CacheError)
        self.lock = threading.RLock()
        """Held while the dictionary changes; hold it to make several changes one."""
        self._max_entries = max_entries
        self._max_bytes = math.inf if max_bytes is None else max_bytes
        self._on_remove = on_remove
        self._clock = clock
        self._nodes: dict[K, _Node[K, V]] = {}
        self._newest: _Node[K, V] | None = None
        self._oldest: _Node[K, V] | None = None
        self._hand: _Node[K, V] | None = None
        self._size_bytes = 0
        self._hits = 0
        self._misses = 0
        self._expired = 0
        self._evictions = 0
        self.get = self._lookup()

    def __len__(self) -> int:
        return len(self._nodes)

    def get_held(self, key: K) -> V | None:
        """The value even past its TTL, as long as ``set`` was told to keep it; not counted."""
        node = self._nodes.get(key)
        return node.value if node is not None and node.drop_at > self._clock() else None

    def set(
        self,
        key: K,
        value: V,
        ttl_s: float = math.inf,
        *,
        keep_s: float = 0.0,
        size_bytes: int = 0,
    ) -> bool:
        """Store for ``ttl_s`` seconds, and for ``keep_s`` more for ``get_held`` alone.

        A value under the same key is replaced in any case. False if nothing was stored: the
        times are over already, or the value alone is larger than the byte budget.
        """
        now = self._clock()
        expires_at = now + ttl_s
        drop_at = expires_at + keep_s
        with self.lock:
            node = self._nodes.get(key)
            if drop_at <= now or size_bytes > self._max_bytes:
                if node is not None:
                    self._remove(node)
                return False
            if node is None:
                self._insert(_Node(key, value, expires_at, drop_at, size_bytes), now)
            else:
                self._replace(node, value, expires_at, drop_at, size_bytes)
                if self._size_bytes > self._max_bytes:
                    self._make_room(0, now, spared=node)
        return True

    def remove(self, key: K) -> bool:
        """Forget ``key``; False if it was not held."""
        with self.lock:
            node = self._nodes.get(key)
            if node is None:
                return False
            self._remove(node)
            return True

    def clear(self) -> None:
        """Forget everything; the counts go on."""
        with self.lock:
            while self._oldest is not None:
                self._remove(self._oldest)

    def stats(self) -> SieveStats:
        """The counts so far; walks over all entries."""
        with self.lock:
            return SieveStats(
                hits=self._hits + sum(node.visits for node in self._nodes.values()),
                misses=self._misses,
                expired=self._expired,
                evictions=self._evictions,
                entries=len(self._nodes),
                size_bytes=self._size_bytes,
            )

    def _lookup(self) -> Callable[[K], V | None]:
        """``get``: as a closure a hit costs a tenth less than as a method."""
        nodes, clock, count_miss = self._nodes, self._clock, self._count_miss

        def get(key: K) -> V | None:
            node = nodes.get(key)
            if node is not None and node.expires_at > clock():
                node.visits += 1
                return node.value
            count_miss(node)
            return None

        return get

    def _count_miss(self, node: _Node[K, V] | None) -> None:
        self._misses += 1
        if node is None:
            return
        self._expired += 1
        if node.drop_at <= self._clock():
            with self.lock:
                if self._nodes.get(node.key) is node:
                    self._remove(node)

    def _insert(self, node: _Node[K, V], now: float) -> None:
        if len(self._nodes) >= self._max_entries or (
            self._size_bytes + node.size_bytes > self._max_bytes
        ):
            self._make_room(node.size_bytes, now)
        node.older = newest = self._newest
        if newest is None:
            self._oldest = node
        else:
            newest.newer = node
        self._newest = node
        self._nodes[node.key] = node
        self._size_bytes += node.size_bytes

    def _replace(
        self, node: _Node[K, V], value: V, expires_at: float, drop_at: float, size_bytes: int
    ) -> None:
        """A new value in the old place, marked: whoever loads it again has asked for it."""
        if self._on_remove is not None:
            self._on_remove(node.key, node.value)
        self._size_bytes += size_bytes - node.size_bytes
        node.value = value
        node.size_bytes = size_bytes
        node.drop_at = drop_at
        node.expires_at = expires_at
        node.visits += 1
        self._hits -= 1  # the mark just made is no hit

    def _make_room(self, size_bytes: int, now: float, spared: _Node[K, V] | None = None) -> None:
        """Evict until one more entry of ``size_bytes`` fits, but never ``spared``."""
        most = self._max_entries if spared is not None else self._max_entries - 1
        while len(self._nodes) > most or self._size_bytes + size_bytes > self._max_bytes:
            node = self._victim(now, spared)
            if node.expires_at > now:
                self._evictions += 1
            self._hand = node  # removing it moves the hand on to the next
            self._remove(node)

    def _victim(self, now: float, spared: _Node[K, V] | None) -> _Node[K, V]:
        """The first entry from the hand on that has no mark or is past its time."""
        node = self._hand
        while True:
            if node is None:
                node = self._oldest
                if node is None:
                    raise AssertionError("room is made only where something is held")
            if node is not spared:
                if not node.visits or node.expires_at <= now:
                    return node
                self._hits += node.visits
                node.visits = 0
            node = node.newer

    def _remove(self, node: _Node[K, V]) -> None:
        newer, older = node.newer, node.older
        if self._hand is node:
            self._hand = newer
        if newer is None:
            self._newest = older
        else:
            newer.older = older
        if older is None:
            self._oldest = newer
        else:
            older.newer = newer
        node.newer = node.older = None
        del self._nodes[node.key]
        self._hits += node.visits
        node.visits = 0
        self._size_bytes -= node.size_bytes
        if self._on_remove is not None:
            self._on_remove(node.key, node.value)
