from __future__ import annotations

import itertools
import math
import sys
from collections import Counter, OrderedDict
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from perflab.cache.entry import CacheError
from perflab.cache.policies.predict import (
    characteristic_time_s,
    lru_hit_ratio,
    lru_ttl_hit_ratio,
    ttl_hit_ratio,
)
from perflab.cache.policies.simulate import Policy, simulate
from perflab.cache.policies.stack import LruCurve, stack_distances
from perflab.cache.policies.synthetic import ZipfAccesses, zipf_popularities

Codes = NDArray[np.int64]

ONLINE: tuple[Policy, ...] = ("fifo", "lru", "lfu", "sieve")
SMALL_TRACES = st.lists(st.integers(0, 7), max_size=60)


def codes(values: list[int] | str) -> Codes:
    numbers = [ord(value) for value in values] if isinstance(values, str) else values
    return np.array(numbers, dtype=np.int64)


def needs_theine() -> None:
    pytest.importorskip("theine_core", reason="the extra `peers` is not installed")


# One by one


class Naive:
    """Each policy in a few lines over lists."""

    def __init__(self, policy: Policy, size: int, ttl_s: float) -> None:
        self.policy, self.size, self.ttl_s = policy, size, ttl_s
        self.held: OrderedDict[int, float] = OrderedDict()  # in order of load, or of use
        self.uses: Counter[int] = Counter()
        self.used_at: dict[int, int] = {}
        self.hits = self.expired = self.evictions = 0

    def access(self, n: int, key: int, now: float) -> None:
        if key in self.held:
            if now < self.held[key]:
                self.hits += 1
            else:
                self.expired += 1
                self.held[key] = now + self.ttl_s
            if self.policy == "lru":
                self.held.move_to_end(key)
        else:
            if len(self.held) == self.size:
                victim = next(iter(self.held))
                if self.policy == "lfu":
                    victim = min(self.held, key=lambda k: (self.uses[k], self.used_at[k]))
                self.evictions += now < self.held.pop(victim)
                self.uses.pop(victim)
            self.held[key] = now + self.ttl_s
        self.uses[key] += 1
        self.used_at[key] = n


@pytest.mark.parametrize("policy", ["fifo", "lru", "lfu"])
@given(
    values=SMALL_TRACES,
    size=st.integers(1, 5),
    ttl_s=st.sampled_from([math.inf, 1.0, 3.0, 10.0]),
    gaps=st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=60, max_size=60),
)
def test_a_policy_behaves_like_its_naive_form(
    policy: Policy, values: list[int], size: int, ttl_s: float, gaps: list[float]
) -> None:
    times = np.cumsum(gaps[: len(values)])
    naive = Naive(policy, size, ttl_s)
    for n, (key, now) in enumerate(zip(values, times, strict=True)):
        naive.access(n, key, float(now))
    got = simulate(policy, codes(values), size, ttl_s=ttl_s, times=times)
    assert (got.hits, got.expired, got.evictions) == (naive.hits, naive.expired, naive.evictions)
    assert got.misses == len(values) - naive.hits


@pytest.mark.parametrize(
    ("sequence", "hits"),
    [
        # a is popular, the others pass by: only FIFO forgets it
        ("abacadae", {"fifo": 2, "lru": 3, "lfu": 3, "sieve": 3, "min": 3}),
        # a loop one larger than the cache: the worst case of those that look back
        ("abcabcabc", {"fifo": 0, "lru": 0, "lfu": 0, "min": 4}),
        # a and b were popular and are no more: LFU clings to them
        ("ababababcdcdcdcd", {"lru": 12, "lfu": 6, "min": 12}),
    ],
)
def test_policies_differ_on_known_sequences(sequence: str, hits: dict[Policy, int]) -> None:
    assert {policy: simulate(policy, codes(sequence), 2).hits for policy in hits} == hits


def best_possible(values: list[int], size: int) -> int:
    """The most hits of any strategy, each miss admitted or not: by trying all of them."""

    @cache
    def best(n: int, held: frozenset[int]) -> int:
        if n == len(values):
            return 0
        key = values[n]
        if key in held:
            return 1 + best(n + 1, held)
        options = [held]
        if len(held) < size:
            options.append(held | {key})
        else:
            options += [held - {victim} | {key} for victim in held]
        return max(best(n + 1, option) for option in options)

    return best(0, frozenset())


@given(values=st.lists(st.integers(0, 4), max_size=14), size=st.integers(1, 3))
def test_min_is_the_best_of_all_strategies(values: list[int], size: int) -> None:
    assert simulate("min", codes(values), size).hits == best_possible(values, size)


@pytest.mark.parametrize("policy", ONLINE)
@given(values=SMALL_TRACES, size=st.integers(1, 6))
def test_no_policy_beats_min(policy: Policy, values: list[int], size: int) -> None:
    ceiling = simulate("min", codes(values), size).hits
    assert simulate(policy, codes(values), size).hits <= ceiling


@pytest.mark.parametrize("policy", [*ONLINE, "w-tinylfu", "min"])
def test_a_cache_for_all_keys_misses_each_once(policy: Policy) -> None:
    if policy == "w-tinylfu":
        needs_theine()
    values = np.random.default_rng(1).integers(0, 200, 5_000)
    outcome = simulate(policy, values, 400)
    assert (outcome.misses, outcome.evictions) == (200, 0)


def test_w_tinylfu_keeps_the_popular_keys_through_scans() -> None:
    needs_theine()
    workload = ZipfAccesses(100_000, keys=5_000, scan_every=900, scan_keys=600)
    accesses = as_codes(workload)
    tiny, lru = (simulate(policy, accesses, 500).hit_ratio for policy in ("w-tinylfu", "lru"))
    assert lru + 0.05 < tiny < simulate("min", accesses, 500).hit_ratio


def test_without_its_library_w_tinylfu_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "theine_core", None)
    with pytest.raises(CacheError, match=r"pip install 'perflab\[peers\]'"):
        simulate("w-tinylfu", codes("ab"), 1)


@pytest.mark.parametrize(
    ("policy", "size", "options", "reason"),
    [
        ("mru", 1, {}, "unknown policy 'mru'; choose one of fifo, lru"),
        ("lru", 0, {}, "size=0"),
        ("lru", 1, {"ttl_s": 0}, "ttl_s=0"),
        ("lru", 1, {"ttl_s": 1}, "a TTL needs accesses with times"),
        ("min", 1, {"ttl_s": 1, "times": np.zeros(2)}, "MIN is the optimum only without"),
        ("lru", 1, {"times": np.zeros(3)}, "3 times for 2 accesses"),
    ],
)
def test_impossible_simulations_are_refused(
    policy: Policy, size: int, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(CacheError, match=reason):
        simulate(policy, codes("ab"), size, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "evictions"), [("fifo", 0), ("lru", 0), ("sieve", 0), ("lfu", 1)]
)
def test_expiry_is_counted_apart_from_eviction(policy: Policy, evictions: int) -> None:
    times = np.arange(6, dtype=np.float64)
    outcome = simulate(policy, codes("aaaabc"), 2, ttl_s=2, times=times)
    # a loads at 0, hits at 1, expires at 2 and hits at 3. At 5 c takes the place of a, expired
    # at 4; but LFU prefers the more frequent a to b, which is alive.
    assert (outcome.hits, outcome.expired, outcome.evictions) == (2, 1, evictions)


def test_no_policy_knows_where_slices_end(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).integers(0, 40, 2_000)
    times = np.cumsum(np.random.default_rng(4).random(2_000))
    whole = [simulate(policy, values, 9) for policy in (*ONLINE, "min")]
    timed = [simulate(policy, values, 9, ttl_s=30, times=times) for policy in ONLINE]
    monkeypatch.setattr("perflab.cache.policies.simulate._SLICE", 7)
    monkeypatch.setattr("perflab.cache.policies.minimum._SLICE", 7)
    assert whole == [simulate(policy, values, 9) for policy in (*ONLINE, "min")]
    assert timed == [simulate(policy, values, 9, ttl_s=30, times=times) for policy in ONLINE]


# LRU at all sizes


def naive_distances(values: list[int]) -> list[int]:
    stack: list[int] = []
    distances = []
    for value in values:
        if value in stack:
            distances.append(stack.index(value))
            stack.remove(value)
        stack.insert(0, value)
    return distances


@given(values=st.lists(st.integers(0, 12), max_size=80))
def test_stack_distances_are_those_of_a_stack(values: list[int]) -> None:
    assert stack_distances(codes(values)).tolist() == naive_distances(values)


@given(
    values=st.lists(st.integers(0, 12), max_size=80),
    cuts=st.lists(st.integers(0, 80), max_size=5),
    size=st.integers(1, 14),
)
def test_the_lru_curve_is_lru_at_every_size_however_it_is_fed(
    values: list[int], cuts: list[int], size: int
) -> None:
    curve = LruCurve()
    for start, end in itertools.pairwise([0, *sorted(cuts), len(values)]):
        curve.feed(codes(values[start:end]))
    got, expected = curve.outcome(size), simulate("lru", codes(values), size)
    assert got.hits == expected.hits
    assert got.evictions == expected.evictions
    assert got.accesses == expected.accesses


# Generated accesses and formulas


def as_codes(workload: ZipfAccesses) -> Codes:
    keys = np.concatenate([chunk.keys for chunk in workload.chunks()])
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def test_popularities_are_zipfs() -> None:
    shares = zipf_popularities(4, 2.0)
    assert shares.sum() == pytest.approx(1)
    assert shares / shares[0] == pytest.approx([1, 1 / 4, 1 / 9, 1 / 16])
    assert zipf_popularities(3, 0.0) == pytest.approx([1 / 3] * 3)


def test_generated_accesses_have_their_popularities_and_repeat() -> None:
    workload = ZipfAccesses(300_000, keys=100, alpha=0.8, seed=5)
    counts = np.sort(np.bincount(as_codes(workload)))[::-1]
    expected = zipf_popularities(100, 0.8) * 300_000
    assert np.abs(counts - expected).max() < 6 * math.sqrt(expected.max())
    assert (as_codes(workload) == as_codes(workload)).all()
    other = ZipfAccesses(300_000, keys=100, alpha=0.8, seed=6)
    assert (as_codes(workload) != as_codes(other)).any()


def test_generated_times_have_their_rate_over_all_chunks() -> None:
    workload = ZipfAccesses(200_000, keys=10, rate_per_s=50)
    times = np.concatenate([chunk.times for chunk in workload.chunks() if chunk.times is not None])
    gaps = np.diff(times)
    assert len(times) == 200_000
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(0.02, rel=0.02)
    assert gaps.std() == pytest.approx(0.02, rel=0.02)


def test_a_scan_brings_keys_that_never_come_again() -> None:
    workload = ZipfAccesses(100_000, keys=50, scan_every=300, scan_keys=100)
    counts = np.bincount(as_codes(workload))
    assert np.count_nonzero(counts == 1) == 25_000
    assert np.count_nonzero(counts > 1) == 50


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"accesses": 0, "keys": 1}, "accesses=0"),
        ({"accesses": 1, "keys": 0}, "keys=0"),
        ({"accesses": 1, "keys": 1, "alpha": -1}, "alpha=-1"),
        ({"accesses": 1, "keys": 1, "rate_per_s": 0}, "rate_per_s=0"),
        ({"accesses": 1, "keys": 1, "scan_every": 5}, "scan_keys=0"),
    ],
)
def test_impossible_workloads_are_refused(options: dict[str, int], reason: str) -> None:
    with pytest.raises(CacheError, match=reason):
        ZipfAccesses(**options)


def test_the_ttl_formula_at_known_points() -> None:
    assert ttl_hit_ratio([10 / 3], 0.3) == pytest.approx(0.5)
    assert ttl_hit_ratio([30], 0.3) == pytest.approx(0.9)
    # two keys: (3 * 3/4 + 1 * 1/2) / 4
    assert ttl_hit_ratio([3, 1], 1.0) == pytest.approx(0.6875)


RATE = 1_000.0
KEYS = 2_000


@pytest.fixture(scope="module")
def poisson() -> tuple[NDArray[np.float64], Codes, NDArray[np.float64]]:
    """Rates by key, accesses and their times: independent references at RATE."""
    workload = ZipfAccesses(300_000, keys=KEYS, alpha=1.0, rate_per_s=RATE)
    times = np.concatenate([chunk.times for chunk in workload.chunks() if chunk.times is not None])
    return zipf_popularities(KEYS, 1.0) * RATE, as_codes(workload), times


@pytest.mark.parametrize("size", [20, 200, 1_000])
def test_ches_approximation_predicts_lru(
    poisson: tuple[NDArray[np.float64], Codes, NDArray[np.float64]], size: int
) -> None:
    rates, accesses, _ = poisson
    assert lru_hit_ratio(rates, size) == pytest.approx(
        simulate("lru", accesses, size).hit_ratio, abs=0.008
    )


@pytest.mark.parametrize("ttl_s", [0.05, 0.3, 5.0])
def test_the_ttl_formula_predicts_a_cache_that_is_large_enough(
    poisson: tuple[NDArray[np.float64], Codes, NDArray[np.float64]], ttl_s: float
) -> None:
    rates, accesses, times = poisson
    outcome = simulate("lru", accesses, KEYS, ttl_s=ttl_s, times=times)
    assert ttl_hit_ratio(rates, ttl_s) == pytest.approx(outcome.hit_ratio, abs=0.008)
    assert outcome.evictions == 0


@pytest.mark.parametrize(
    ("size", "ttl_s"), [(200, 0.1), (200, 0.5), (200, 1.0), (200, 3.0), (50, 0.5), (50, 30.0)]
)
def test_the_prediction_for_lru_with_a_ttl(
    poisson: tuple[NDArray[np.float64], Codes, NDArray[np.float64]], size: int, ttl_s: float
) -> None:
    rates, accesses, times = poisson
    outcome = simulate("lru", accesses, size, ttl_s=ttl_s, times=times)
    assert lru_ttl_hit_ratio(rates, size, ttl_s) == pytest.approx(outcome.hit_ratio, abs=0.008)


def test_lru_with_a_ttl_lies_below_both_limits_and_reaches_them() -> None:
    rates = zipf_popularities(500, 0.9) * 100
    time_s = characteristic_time_s(rates, 50)
    ratios = [lru_ttl_hit_ratio(rates, 50, factor * time_s) for factor in (0.5, 2, 50, 5_000, 1e9)]
    assert ratios == sorted(ratios)
    assert ratios[0] == pytest.approx(ttl_hit_ratio(rates, 0.5 * time_s))
    assert ratios[-1] == pytest.approx(lru_hit_ratio(rates, 50), abs=1e-4)
    for factor, ratio in zip((0.5, 2, 50), ratios, strict=False):
        assert ratio <= min(ttl_hit_ratio(rates, factor * time_s), lru_hit_ratio(rates, 50)) + 1e-9


def test_the_tail_of_many_periods_continues_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = np.array([0.2, 1.0, 5.0, 20.0])
    stepped = lru_ttl_hit_ratio(rates, 2, 60 * characteristic_time_s(rates, 2))
    monkeypatch.setattr("perflab.cache.policies.predict._PERIODS", 20)
    assert lru_ttl_hit_ratio(rates, 2, 60 * characteristic_time_s(rates, 2)) == pytest.approx(
        stepped, abs=1e-4
    )


def test_all_keys_fit_for_ever() -> None:
    assert characteristic_time_s([1.0, 2.0], 2) == math.inf
    assert lru_hit_ratio([1.0, 2.0], 2) == 1.0


@pytest.mark.parametrize("rates", [[], [0.0], [-1.0, 2.0], [math.nan], [math.inf]])
def test_impossible_rates_are_refused(rates: list[float]) -> None:
    with pytest.raises(CacheError, match="request rates"):
        ttl_hit_ratio(rates, 1.0)
