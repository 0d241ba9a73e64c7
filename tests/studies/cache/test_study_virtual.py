"""Virtual time: the tiers' rules on paper, and formulas that they must come out at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.cache.policies.predict import ttl_hit_ratio
from perflab.studies.cache.driving import poisson_s
from perflab.studies.cache.virtual import JITTER, LOADED, MEMORY, REDIS, Answers, replay
from perflab.studies.cache.workload import synthetic

M, R, L = MEMORY, REDIS, LOADED


def who(
    codes: list[int], at_s: list[float], ttl_s: float = 10.0, memory_ttl_s: float = 0.3, **more: int
) -> list[int]:
    found = replay(np.array(codes), np.array(at_s), ttl_s=ttl_s, memory_ttl_s=memory_ttl_s, **more)
    return [int(by) for by in found.by]


def test_one_key_is_loaded_then_found_in_memory_then_in_redis_then_loaded_again() -> None:
    # the copy of 0.35 s is good until 0.65 s; Redis' entry for 9 s at least, 10 s at most
    at_s = [0.0, 0.29, 0.35, 0.64, 0.66, 8.9, 10.01, 10.02]
    assert who([0] * 8, at_s) == [L, M, R, M, R, R, L, M]


def test_a_key_does_not_help_another() -> None:
    assert who([0, 1, 0, 1], [0.0, 0.1, 0.2, 0.5]) == [L, L, M, R]


def test_a_copy_in_memory_does_not_outlive_the_entry_that_it_copies() -> None:
    assert who([0] * 3, [0.0, 0.8, 1.01], ttl_s=1.0, memory_ttl_s=100.0) == [L, M, L]


def test_memory_holds_so_many_entries_and_redis_all() -> None:
    codes, at_s = [0, 1, 0, 1], [0.0, 0.01, 0.02, 0.03]
    assert who(codes, at_s, memory_entries=1) == [L, L, R, R]
    assert who(codes, at_s, memory_entries=2) == [L, L, M, M]


def test_lifetimes_in_redis_are_shortened_by_chance_and_never_beyond_the_jitter() -> None:
    keys = np.arange(400)
    early = (1 - JITTER) * 10
    at_s = [(0.0, early - 0.01, early + 0.5, 10.01)[n] for n in range(4) for _ in keys]
    by = np.array(who(np.tile(keys, 4).tolist(), at_s, memory_entries=1)).reshape(4, -1)
    assert (by[0] == L).all()
    assert (by[1] == R).all()
    assert 100 < (by[2] == R).sum() < 300, "half of them are gone in the middle of the spread"
    assert (by[3][by[2] == R] == L).all()


REQUESTS = st.lists(st.tuples(st.integers(0, 9), st.floats(0, 3)), min_size=1, max_size=80)


@settings(max_examples=50)
@given(REQUESTS, st.floats(0.5, 20), st.floats(0.01, 3), st.integers(-8, 8), st.integers(1, 9))
def test_times_and_lifetimes_scaled_together_change_nobodys_answer(
    requests: list[tuple[int, float]], ttl_s: float, memory_ttl_s: float, power: int, entries: int
) -> None:
    codes = [code for code, _ in requests]
    at_s = np.cumsum([gap for _, gap in requests])
    factor = 2.0**power  # exact, so that no tie is decided by rounding
    plain = who(codes, at_s.tolist(), ttl_s, memory_ttl_s, memory_entries=entries)
    scaled = who(
        codes,
        (at_s * factor).tolist(),
        ttl_s * factor,
        memory_ttl_s * factor,
        memory_entries=entries,
    )
    assert scaled == plain


@settings(max_examples=50)
@given(REQUESTS, st.permutations(range(10)), st.integers(1, 9))
def test_what_keys_are_called_changes_nobodys_answer(
    requests: list[tuple[int, float]], names: list[int], entries: int
) -> None:
    codes = [code for code, _ in requests]
    at_s = np.cumsum([gap for _, gap in requests]).tolist()
    renamed = [names[code] for code in codes]
    assert who(renamed, at_s, memory_entries=entries) == who(codes, at_s, memory_entries=entries)


@settings(max_examples=50)
@given(REQUESTS, st.integers(1, 9))
def test_every_key_is_loaded_first_and_the_three_ratios_are_of_the_same_requests(
    requests: list[tuple[int, float]], entries: int
) -> None:
    codes = np.array([code for code, _ in requests])
    at_s = np.cumsum([gap for _, gap in requests])
    found = replay(codes, at_s, ttl_s=4.0, memory_ttl_s=0.7, memory_entries=entries)
    firsts = np.unique(codes, return_index=True)[1]
    assert (found.by[firsts] == LOADED).all()
    memory, redis = found.memory_ratio, found.redis_ratio
    assert found.combined_ratio == pytest.approx(memory + (1 - memory) * redis)


def test_requests_from_a_moment_on_are_a_part_of_all() -> None:
    found = Answers(np.array([L, M, R, M], dtype=np.int8), np.array([0.0, 1.0, 2.0, 2.0]))
    assert found.after(2.0).by.tolist() == [R, M]
    assert found.after(0.0).memory_ratio == 0.5
    assert found.redis_ratio == 0.5
    assert found.combined_ratio == 0.75
    assert math.isnan(Answers(np.array([M], dtype=np.int8), np.zeros(1)).redis_ratio)


def test_independent_requests_hit_as_often_as_the_formulas_say() -> None:
    """λτ/(1 + λτ) for each key and tier; Redis' mean lifetime is in the middle of its spread."""
    keys, rate, ttl_s, memory_ttl_s, count, repetitions = 300, 20.0, 30.0, 0.5, 12_000, 10
    shares = synthetic(keys, 0.9, 0).shares(np.zeros(1, dtype=np.int64))
    measured = []
    for seed in range(repetitions):
        found = replay(
            synthetic(keys, 0.9, seed).first(count),
            poisson_s(count, rate, seed),
            ttl_s=ttl_s,
            memory_ttl_s=memory_ttl_s,
            memory_entries=keys,
            seed=seed,
        ).after(4 * ttl_s)
        measured.append((found.memory_ratio, found.combined_ratio))
    means = np.mean(measured, axis=0)
    errors = np.std(measured, axis=0, ddof=1) / math.sqrt(repetitions)
    memory = ttl_hit_ratio(shares * rate, memory_ttl_s)
    combined = ttl_hit_ratio(shares * rate, ttl_s * (1 - JITTER / 2))
    without_jitter = ttl_hit_ratio(shares * rate, ttl_s)
    assert (np.abs(means - [memory, combined]) < 4 * errors).all()
    assert without_jitter - combined > 8 * errors[1], "precise enough to see the jitter"
