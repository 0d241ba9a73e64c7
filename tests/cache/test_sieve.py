from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from perflab.cache.entry import CacheError
from perflab.cache.sieve import Sieve


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class NaiveSieve:
    """The algorithm as in the paper's figure: a list, the oldest first, and marks."""

    def __init__(self, max_entries: int, max_bytes: float, clock: Clock) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.clock = clock
        self.queue: list[str] = []
        self.held: dict[str, tuple[int, float, float, int]] = {}
        self.marked: set[str] = set()
        self.hand: str | None = None
        self.hits = self.misses = self.expired = self.evictions = 0

    @property
    def size_bytes(self) -> int:
        return sum(size for *_, size in self.held.values())

    def get(self, key: str) -> int | None:
        if key not in self.held:
            self.misses += 1
            return None
        value, expires_at, drop_at, _ = self.held[key]
        if self.clock() < expires_at:
            self.hits += 1
            self.marked.add(key)
            return value
        self.misses += 1
        self.expired += 1
        if self.clock() >= drop_at:
            self.remove(key)
        return None

    def get_held(self, key: str) -> int | None:
        if key in self.held and self.clock() < self.held[key][2]:
            return self.held[key][0]
        return None

    def set(self, key: str, value: int, ttl_s: float, keep_s: float, size: int) -> bool:
        if ttl_s + keep_s <= 0 or size > self.max_bytes:
            self.remove(key)
            return False
        known = key in self.held
        if not known:
            while len(self.queue) >= self.max_entries or self.size_bytes + size > self.max_bytes:
                self.evict(None)
            self.queue.append(key)
        expires_at = self.clock() + ttl_s
        self.held[key] = (value, expires_at, expires_at + keep_s, size)
        if known:
            self.marked.add(key)
            while self.size_bytes > self.max_bytes:
                self.evict(key)
        return True

    def evict(self, spared: str | None) -> None:
        at = self.queue.index(self.hand) if self.hand is not None else 0
        while True:
            key = self.queue[at % len(self.queue)]
            fresh = self.clock() < self.held[key][1]
            if key != spared:
                if key not in self.marked or not fresh:
                    break
                self.marked.discard(key)
            at = (at + 1) % len(self.queue)
        self.evictions += fresh
        self.hand = key
        self.remove(key)

    def remove(self, key: str) -> bool:
        if key not in self.held:
            return False
        if self.hand == key:
            following = self.queue.index(key) + 1
            self.hand = self.queue[following] if following < len(self.queue) else None
        self.queue.remove(key)
        self.marked.discard(key)
        del self.held[key]
        return True


KEYS = st.sampled_from("abcdefgh")
TTLS = st.sampled_from([0.0, 0.5, 1.0, 3.0, math.inf])


class AgainstTheNaiveOne(RuleBasedStateMachine):
    @initialize(max_entries=st.integers(1, 5), max_bytes=st.sampled_from([None, 1, 7, 20]))
    def make(self, max_entries: int, max_bytes: int | None) -> None:
        self.clock = Clock()
        self.max_entries, self.max_bytes = max_entries, max_bytes
        self.present: dict[str, int] = {}
        self.sieve: Sieve[str, int] = Sieve(
            max_entries, max_bytes=max_bytes, on_remove=self.left, clock=self.clock
        )
        bound = math.inf if max_bytes is None else max_bytes
        self.naive = NaiveSieve(max_entries, bound, self.clock)
        self.values = 0

    def left(self, key: str, value: int) -> None:
        assert self.present.pop(key) == value

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        assert self.sieve.get(key) == self.naive.get(key)

    @rule(key=KEYS)
    def get_held(self, key: str) -> None:
        assert self.sieve.get_held(key) == self.naive.get_held(key)

    @rule(key=KEYS, ttl_s=TTLS, keep_s=st.sampled_from([0.0, 0.0, 2.0]), size=st.integers(0, 9))
    def set(self, key: str, ttl_s: float, keep_s: float, size: int) -> None:
        self.values += 1
        stored = self.sieve.set(key, self.values, ttl_s, keep_s=keep_s, size_bytes=size)
        assert stored == self.naive.set(key, self.values, ttl_s, keep_s, size)
        if stored:
            self.present[key] = self.values

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        assert self.sieve.remove(key) == self.naive.remove(key)

    @rule()
    def clear(self) -> None:
        self.sieve.clear()
        for key in list(self.naive.queue):
            self.naive.remove(key)

    @rule(seconds=st.sampled_from([0.25, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def same_state(self) -> None:
        if not hasattr(self, "sieve"):
            return
        stats, naive = self.sieve.stats(), self.naive
        assert len(self.sieve) == stats.entries == len(naive.held) <= self.max_entries
        assert stats.size_bytes == naive.size_bytes
        assert self.max_bytes is None or stats.size_bytes <= self.max_bytes
        assert (stats.hits, stats.misses) == (naive.hits, naive.misses)
        assert (stats.expired, stats.evictions) == (naive.expired, naive.evictions)
        assert self.present == {key: value for key, (value, *_) in naive.held.items()}


AgainstTheNaiveOne.TestCase.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None
)
test_behaves_like_the_naive_one = AgainstTheNaiveOne.TestCase


def filled(*keys: str, max_entries: int) -> Sieve[str, str]:
    sieve: Sieve[str, str] = Sieve(max_entries)
    for key in keys:
        sieve.set(key, key)
    return sieve


def held(sieve: Sieve[str, str], keys: str) -> str:
    return "".join(key for key in keys if sieve.get_held(key))


def test_the_oldest_entry_without_a_hit_goes_first() -> None:
    sieve = filled("a", "b", "c", max_entries=3)
    sieve.get("a")
    sieve.set("d", "d")
    assert held(sieve, "abcd") == "acd"


def test_the_hand_goes_on_where_it_stopped() -> None:
    # After the first eviction the hand stands at c, so that a, unmarked by now, is not next.
    sieve = filled("a", "b", "c", max_entries=3)
    sieve.get("a")
    sieve.set("d", "d")
    sieve.set("e", "e")
    assert held(sieve, "abcde") == "ade"


def test_the_hand_wraps_around_when_all_are_marked() -> None:
    sieve = filled("a", "b", "c", max_entries=3)
    for key in "abc":
        sieve.get(key)
    sieve.set("d", "d")
    assert held(sieve, "abcd") == "bcd"


def test_an_expired_entry_gets_no_second_chance_and_is_no_eviction() -> None:
    clock = Clock()
    sieve: Sieve[str, str] = Sieve(2, clock=clock)
    sieve.set("a", "a")
    sieve.get("a")
    sieve.set("b", "b", ttl_s=1)
    sieve.get("b")
    clock.now += 1
    sieve.set("c", "c")
    assert held(sieve, "abc") == "ac"
    assert sieve.stats().evictions == 0


def test_an_entry_is_gone_at_the_very_end_of_its_ttl() -> None:
    clock = Clock()
    sieve: Sieve[str, str] = Sieve(2, clock=clock)
    sieve.set("a", "x", ttl_s=1, keep_s=1)
    clock.now += 0.999
    assert sieve.get("a") == "x"
    clock.now += 0.001
    assert sieve.get("a") is None
    assert sieve.get_held("a") == "x"
    clock.now += 1
    assert sieve.get_held("a") is None


def test_a_value_too_large_is_refused_and_takes_the_old_one_with_it() -> None:
    sieve: Sieve[str, str] = Sieve(5, max_bytes=10)
    assert sieve.set("a", "small", size_bytes=10)
    assert not sieve.set("a", "large", size_bytes=11)
    assert sieve.get("a") is None
    assert sieve.stats().size_bytes == 0


@pytest.mark.parametrize(("max_entries", "max_bytes"), [(0, None), (-1, None), (1, 0), (1, -5)])
def test_impossible_bounds_are_refused(max_entries: int, max_bytes: int | None) -> None:
    with pytest.raises(CacheError, match=r"max_(entries|bytes)="):
        Sieve(max_entries, max_bytes=max_bytes)


def test_threads_leave_it_consistent() -> None:
    entries = 0

    def left(key: int, value: int) -> None:
        nonlocal entries
        entries -= 1

    sieve: Sieve[int, int] = Sieve(50, on_remove=left)
    barrier = threading.Barrier(4)

    def work(seed: int) -> None:
        nonlocal entries
        barrier.wait()
        for n in range(5_000):
            key = (n * 7919 + seed * 31) % 120
            value = sieve.get(key)
            assert value in (None, key)
            if value is None:
                with sieve.lock:
                    assert sieve.set(key, key)
                    entries += 1
                    assert len(sieve) <= 50
            if n % 50 == 0:
                sieve.remove(key)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, seed) for seed in range(4)]:
            done.result()
    assert len(sieve) == entries <= 50
    sieve.clear()
    assert entries == len(sieve) == 0
