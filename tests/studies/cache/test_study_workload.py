"""Requests generated or read: ranks, shares, and a value for each key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cache_study import some_sizes, traced
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.cache.policies.mixing import mix
from perflab.cache.policies.synthetic import ZipfAccesses, zipf_popularities
from perflab.cache.traces import TraceError
from perflab.parameters import CacheParameters
from perflab.studies.cache.workload import MEDIAN_VALUE_BYTES, Values, choose_workload, synthetic


@settings(max_examples=40)
@given(
    st.integers(1, 200), st.floats(0, 2, allow_nan=False), st.integers(0, 99), st.integers(1, 500)
)
def test_equal_codes_are_equal_keys_and_smaller_codes_are_asked_for_more_often(
    keys: int, alpha: float, seed: int, count: int
) -> None:
    codes = synthetic(keys, alpha, seed).first(count)
    (chunk,) = ZipfAccesses(count, keys=keys, alpha=alpha, seed=seed).chunks()
    _, first, inverse = np.unique(chunk.keys, return_index=True, return_inverse=True)
    assert (codes == codes[first][inverse]).all()
    counts = np.bincount(codes)
    assert len(counts) == len(first)
    assert (np.diff(counts) <= 0).all()


def test_the_first_code_is_the_key_that_was_made_most_popular() -> None:
    codes = synthetic(1_000, 1.2, 5).first(5_000)
    (chunk,) = ZipfAccesses(5_000, keys=1_000, alpha=1.2, seed=5).chunks()
    favourite = mix(np.zeros(1, dtype=np.uint64))[0]
    assert (chunk.keys[codes == 0] == favourite).all()


def test_generated_requests_have_no_end_and_go_on_where_fewer_stopped() -> None:
    workload = synthetic(50, 0.9, 3)
    long = workload.first(200_000)  # more than one chunk
    short = workload.first(1_000)
    assert len(long) == 200_000
    assert ((short[:, None] == short) == (long[:1_000, None] == long[:1_000])).all()


def test_a_seed_gives_its_requests_again_and_another_gives_others() -> None:
    one, again, other = (synthetic(500, 1.0, seed).first(2_000) for seed in (7, 7, 8))
    assert (one == again).all()
    assert (one != other).any()


def test_generated_shares_are_those_that_the_requests_were_drawn_with() -> None:
    workload = synthetic(20, 1.0, 1)
    codes = workload.first(100_000)
    shares = workload.shares(workload.first(1))
    assert shares.sum() == pytest.approx(1)
    assert shares == pytest.approx(zipf_popularities(20, 1.0))
    errors = np.sqrt(shares * (1 - shares) / len(codes))
    assert (np.abs(np.bincount(codes) / len(codes) - shares) < 4.5 * errors).all()


def test_a_trace_is_taken_over_with_ranks_and_shares_of_its_own(tmp_path: Path) -> None:
    workload = traced(tmp_path / "of-mine.txt", "zazbza")
    codes = workload.first(100)
    assert codes.tolist() == [0, 1, 0, 2, 0, 1]
    assert workload.shares(codes).tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6])
    assert workload.first(2).tolist() in ([0, 1], [1, 0])  # as often, so in any order
    assert not workload.synthetic
    assert "of-mine.txt" in workload.title
    assert "keys" in workload.title
    (chunk,) = workload.bounded(2).chunks()
    assert len(chunk) == 6, "policies are simulated on the whole trace"


def test_without_a_trace_as_many_requests_are_simulated_as_were_asked_for() -> None:
    workload = choose_workload(CacheParameters(alpha=0.7, seed=9), some_sizes(keys=30))
    assert workload.synthetic
    assert "30 keys, alpha 0.7" in workload.title
    assert sum(len(chunk) for chunk in workload.bounded(70_000).chunks()) == 70_000
    (given_,) = workload.bounded(40).chunks()
    assert (workload.first(40) == 0).sum() == np.unique(given_.keys, return_counts=True)[1].max()


def test_a_file_that_is_no_trace_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"empty\.txt: the file is empty"):
        traced(tmp_path / "empty.txt", "")


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(0, 10**6))
def test_a_key_has_the_same_value_whoever_asks(seed: int, code: int) -> None:
    value = Values(seed).of(code)
    assert Values(seed).of(code) == value
    assert value.isascii()
    assert value.islower()
    assert 1 <= len(value) <= 32_768


def test_most_values_are_small_and_their_mean_is_the_mean_of_what_is_given() -> None:
    values = Values(4)
    sizes = [len(values.of(code)) for code in range(4_096)]
    assert values.mean_bytes == pytest.approx(np.mean(sizes))
    assert np.median(sizes) == pytest.approx(MEDIAN_VALUE_BYTES, rel=0.1)
    assert np.mean(sizes) > 1.3 * np.median(sizes), "skewed to the right"
    others = Values(5)
    assert sizes[:99] != [len(others.of(code)) for code in range(99)]
    assert others.of(0)[:9] != values.of(0)[:9]
