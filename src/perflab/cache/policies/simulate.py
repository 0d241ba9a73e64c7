"""Caches of one size under one policy, fed with accesses in virtual time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Final, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from perflab.cache.accesses import Times
from perflab.cache.entry import CacheError
from perflab.cache.policies.minimum import Minimum
from perflab.cache.policies.mixing import mix
from perflab.cache.policies.outcome import Outcome
from perflab.cache.sieve import Sieve

Codes = NDArray[np.int64]
Policy = Literal["fifo", "lru", "lfu", "sieve", "w-tinylfu", "min"]
POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)

_SLICE: Final = 1 << 16


def simulate(
    policy: Policy,
    codes: Codes,
    size: int,
    *,
    ttl_s: float = math.inf,
    times: Times | None = None,
) -> Outcome:
    """A cache of ``size`` entries that loads every key it misses.

    ``codes`` are the accesses, equal codes meaning the same key. With ``ttl_s`` an entry is
    good for that long after its load, by ``times`` (seconds, one an access); an expired entry
    is loaded again in its place, which its policy takes for an access like any other.

    CacheError: an unknown policy, a TTL without times or for ``min`` (which is the optimum only
    without one), ``w-tinylfu`` without its library.
    """
    check(policy, size, ttl_s, times is not None)
    if times is not None and len(times) != len(codes):
        raise CacheError(f"{len(times)} times for {len(codes)} accesses")
    if policy == "min":
        return Minimum(size).replay(codes)
    cache = new_cache(policy, size, ttl_s)
    for start in range(0, len(codes), _SLICE):
        part = slice(start, start + _SLICE)
        cache.replay(codes[part].tolist(), None if times is None else times[part].tolist())
    return cache.outcome()


def check(policy: Policy, size: int, ttl_s: float, has_times: bool) -> None:
    """A CacheError where ``simulate`` could not work."""
    if policy not in POLICIES:
        raise CacheError(f"unknown policy {policy!r}; choose one of {', '.join(POLICIES)}")
    if size < 1:
        raise CacheError(f"size={size}: a cache holds at least one entry")
    if not ttl_s > 0:
        raise CacheError(f"ttl_s={ttl_s}: a TTL is positive")
    if ttl_s < math.inf and not has_times:
        raise CacheError("a TTL needs accesses with times, which this trace does not have")
    if ttl_s < math.inf and policy == "min":
        raise CacheError("Belady's MIN is the optimum only without a TTL: leave one of them out")


class SimulatedCache(Protocol):
    """A cache in virtual time that can be fed in pieces."""

    def replay(self, keys: Sequence[int], times: Sequence[float] | None) -> None:
        """More accesses, in order."""
        ...

    def outcome(self) -> Outcome:
        """The counts so far."""
        ...


def new_cache(policy: Policy, size: int, ttl_s: float = math.inf) -> SimulatedCache:
    """An empty cache of one of the policies that need not know the future."""
    if policy == "sieve":
        return _SieveCache(size, ttl_s)
    if policy == "w-tinylfu":
        return _TinyLfu(size, ttl_s)
    kinds = {"fifo": _Fifo, "lru": _Lru, "lfu": _Lfu}
    return kinds[policy](size, ttl_s)


class _Cache(ABC):
    """The common part: what is held until when, and the counts."""

    policy: Policy

    def __init__(self, size: int, ttl_s: float) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._expires_at: dict[int, float] = {}
        self._accesses = 0
        self._hits = 0
        self._expired = 0
        self._evictions = 0

    @abstractmethod
    def touch(self, key: int) -> None:
        """An access to a key that is held."""

    @abstractmethod
    def admit(self, key: int) -> Iterable[int]:
        """An access to a key that is not held: who goes for it, maybe the key itself."""

    def replay(self, keys: Sequence[int], times: Sequence[float] | None) -> None:
        """More accesses, in order."""
        expires_at, ttl_s, touch = self._expires_at, self._ttl_s, self.touch
        clock: Iterator[float] = repeat(0.0) if times is None else iter(times)
        hits = 0
        for key, now in zip(keys, clock, strict=False):  # the clock may run for ever
            until = expires_at.get(key)
            if until is None:
                expires_at[key] = now + ttl_s
                for victim in self.admit(key):
                    if expires_at.pop(victim) > now and victim != key:
                        self._evictions += 1
                continue
            if until > now:
                hits += 1
            else:
                self._expired += 1
                expires_at[key] = now + ttl_s
            touch(key)
        self._hits += hits
        self._accesses += len(keys)

    def outcome(self) -> Outcome:
        """The counts so far."""
        return Outcome(
            self.policy, self._size, self._accesses, self._hits, self._expired, self._evictions
        )


class _Fifo(_Cache):
    """First in, first out."""

    policy: Policy = "fifo"

    def __init__(self, size: int, ttl_s: float) -> None:
        super().__init__(size, ttl_s)
        self._queue: OrderedDict[int, None] = OrderedDict()

    def touch(self, key: int) -> None:
        """Nothing moves."""

    def admit(self, key: int) -> Iterable[int]:
        self._queue[key] = None
        return (self._queue.popitem(last=False)[0],) if len(self._queue) > self._size else ()


class _Lru(_Fifo):
    """Least recently used."""

    policy: Policy = "lru"

    def touch(self, key: int) -> None:
        self._queue.move_to_end(key)


class _Lfu(_Cache):
    """Least frequently used since it is held; of several, the least recently used."""

    policy: Policy = "lfu"

    def __init__(self, size: int, ttl_s: float) -> None:
        super().__init__(size, ttl_s)
        self._frequency: dict[int, int] = {}
        self._by_frequency: dict[int, OrderedDict[int, None]] = {}
        self._lowest = 1

    def touch(self, key: int) -> None:
        count = self._frequency[key]
        self._take(key, count)
        if count == self._lowest and count not in self._by_frequency:
            self._lowest = count + 1
        self._put(key, count + 1)

    def admit(self, key: int) -> Iterable[int]:
        victims: tuple[int, ...] = ()
        if len(self._frequency) >= self._size:
            victim = next(iter(self._by_frequency[self._lowest]))
            self._take(victim, self._lowest)
            del self._frequency[victim]
            victims = (victim,)
        self._put(key, 1)
        self._lowest = 1
        return victims

    def _put(self, key: int, count: int) -> None:
        self._frequency[key] = count
        self._by_frequency.setdefault(count, OrderedDict())[key] = None

    def _take(self, key: int, count: int) -> None:
        keys = self._by_frequency[count]
        del keys[key]
        if not keys:
            del self._by_frequency[count]


class _TinyLfu(_Cache):
    """W-TinyLFU (Einziger et al., 2017) as theine's core has it, one operation at a time.

    theine itself buffers operations, which blurs the size of a small cache. The core draws
    random numbers that cannot be seeded: on small caches the third decimal may differ.
    """

    policy: Policy = "w-tinylfu"

    def __init__(self, size: int, ttl_s: float) -> None:
        super().__init__(size, ttl_s)
        try:
            from theine_core import TlfuCore
        except ImportError:
            raise CacheError(
                "the policy w-tinylfu needs the library theine: pip install 'perflab[peers]',"
                " or leave the policy out"
            ) from None
        self._core = TlfuCore(size)

    def replay(self, keys: Sequence[int], times: Sequence[float] | None) -> None:
        """More accesses, in order."""
        # The core expects hashes: its sketch uses their bits as they are.
        super().replay(mix(np.array(keys, dtype=np.uint64)).tolist(), times)

    def touch(self, key: int) -> None:
        self._core.access([key])

    def admit(self, key: int) -> Iterable[int]:
        victims: list[int] = self._core.set([(key, 0)])
        return victims


class _SieveCache:
    """The memory tier's own SIEVE, with a virtual clock."""

    policy: Policy = "sieve"

    def __init__(self, size: int, ttl_s: float) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._now = 0.0
        self._cache: Sieve[int, bool] = Sieve(size, clock=lambda: self._now)

    def replay(self, keys: Sequence[int], times: Sequence[float] | None) -> None:
        """More accesses, in order."""
        get, put, ttl_s = self._cache.get, self._cache.set, self._ttl_s
        # An expired entry keeps its place, as in the other policies.
        keep_s = 0.0 if ttl_s == math.inf else math.inf
        clock: Iterator[float] = repeat(0.0) if times is None else iter(times)
        for key, self._now in zip(keys, clock, strict=False):  # the clock may run for ever
            if get(key) is None:
                put(key, True, ttl_s, keep_s=keep_s)

    def outcome(self) -> Outcome:
        """The counts so far."""
        counts = self._cache.stats()
        return Outcome(
            self.policy,
            self._size,
            counts.hits + counts.misses,
            counts.hits,
            counts.expired,
            counts.evictions,
        )
