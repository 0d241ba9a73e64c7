"""Schedules of arrivals: rate, order, repeatability, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.load import LoadError
from perflab.load.arrivals import constant, poisson

rates = st.floats(0.01, 1e5)
seeds = st.integers(0, 2**63)


@given(rates, st.integers(1, 500))
def test_constant_arrivals_begin_at_zero_and_keep_their_distance(rate: float, count: int) -> None:
    due_s = constant(rate, count=count)
    assert len(due_s) == count
    assert due_s[0] == 0
    np.testing.assert_allclose(np.diff(due_s), 1 / rate, rtol=1e-6)


@given(st.integers(1, 1000), st.integers(1, 30))
def test_constant_arrivals_of_a_time_are_as_many_as_the_rate_says(rate: int, seconds: int) -> None:
    due_s = constant(rate, seconds=seconds)
    assert len(due_s) == rate * seconds
    assert due_s[-1] < seconds


def test_rounding_of_a_rate_makes_no_extra_arrival() -> None:
    assert len(constant(0.1, seconds=30)) == 3
    assert len(constant(1.1, seconds=10)) == 11
    assert len(constant(0.01, seconds=1)) == 1


@given(rates, st.integers(1, 500), seeds)
def test_poisson_arrivals_ascend_and_repeat_with_their_seed(
    rate: float, count: int, seed: int
) -> None:
    due_s = poisson(rate, count=count, seed=seed)
    assert due_s.shape == (count,)
    assert due_s[0] >= 0
    assert (np.diff(due_s) >= 0).all()
    np.testing.assert_array_equal(due_s, poisson(rate, count=count, seed=seed))


@given(st.floats(0.1, 1000), st.floats(0.01, 3), seeds)
def test_poisson_arrivals_of_a_time_are_all_that_fall_into_it(
    rate: float, seconds: float, seed: int
) -> None:
    due_s = poisson(rate, seconds=seconds, seed=seed)
    more = poisson(rate, count=len(due_s) + 1, seed=seed)
    np.testing.assert_array_equal(due_s, more[:-1])
    assert more[-1] >= seconds
    assert (due_s < seconds).all()


@given(rates, seeds)
def test_poisson_gaps_have_the_mean_and_spread_of_their_rate(rate: float, seed: int) -> None:
    count = 20_000
    gaps = np.diff(poisson(rate, count=count, seed=seed), prepend=0.0) * rate
    # six standard errors; an exponential distribution has mean 1 and standard deviation 1
    assert abs(gaps.mean() - 1) < 6 / math.sqrt(count)
    assert abs(gaps.std() - 1) < 6 * math.sqrt(2 / count)


def test_other_seeds_give_other_arrivals() -> None:
    assert not np.array_equal(poisson(10, count=5, seed=1), poisson(10, count=5, seed=2))


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "10", None, True])
def test_rate_or_time_out_of_range_is_named(value: Any) -> None:
    with pytest.raises(LoadError, match=r"^rate_per_s: must be"):
        constant(value, count=1)
    with pytest.raises(LoadError, match=r"^rate_per_s: must be"):
        poisson(value, count=1, seed=0)
    if value is not None:
        with pytest.raises(LoadError, match=r"^seconds: must be"):
            constant(1, seconds=value)


@pytest.mark.parametrize("value", [0, -1, 1.5, "1", True])
def test_count_out_of_range_is_named(value: Any) -> None:
    with pytest.raises(LoadError, match=r"^count: must be a whole number"):
        constant(1, count=value)


@pytest.mark.parametrize("seed", [-1, 1.0, None, "a", True])
def test_seed_that_is_none_is_named(seed: Any) -> None:
    with pytest.raises(LoadError, match=r"^seed: "):
        poisson(1, count=1, seed=seed)


def test_count_and_seconds_exclude_each_other() -> None:
    with pytest.raises(LoadError, match="both are given"):
        constant(1, count=1, seconds=1)
    with pytest.raises(LoadError, match="neither is given"):
        poisson(1, seed=0)


def test_numbers_of_numpy_are_numbers() -> None:
    assert len(constant(np.float64(10), count=np.int64(3))) == 3  # type: ignore[arg-type]
