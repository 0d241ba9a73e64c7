"""Schedules of arrivals: rate, order, repeatability, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.load import LoadError
from perflab.load.arrivals import constant, poisson, ramp, spike, steps, thinking

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


@pytest.mark.parametrize(
    "value", [0, -1, math.nan, math.inf, "10", None, True, 1j, np.complex64(1), 10**400]
)
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


@given(st.floats(0, 1000), st.floats(1, 1000), st.integers(1, 10))
def test_even_ramp_sends_as_many_as_its_mean_rate(first: float, last: float, seconds: int) -> None:
    due_s = ramp(first, last, seconds=seconds)
    assert len(due_s) == pytest.approx((first + last) / 2 * seconds, abs=1.001)
    assert (np.diff(due_s) >= 0).all()
    assert due_s[0] == 0
    assert due_s[-1] <= seconds


def test_even_ramp_reaches_its_rate_in_a_straight_line() -> None:
    due_s = ramp(0, 1000, seconds=10)
    counts, _ = np.histogram(due_s, bins=np.arange(11))
    np.testing.assert_allclose(counts, 100 * np.arange(10) + 50, atol=1)


def test_steps_keep_each_rate_and_a_rate_of_zero_is_a_pause() -> None:
    counts, _ = np.histogram(steps([10, 0, 40], step_s=2), bins=[0, 2, 4, 6])
    assert counts.tolist() == [20, 0, 80]


def test_spike_rises_and_falls_at_once() -> None:
    due_s = spike(10, 200, seconds=10, at_s=4, spike_s=1)
    counts, _ = np.histogram(due_s, bins=[0, 4, 5, 10])
    assert counts.tolist() == [40, 200, 50]


@given(seeds)
def test_random_steps_are_poisson_at_each_rate_and_repeat_with_their_seed(seed: int) -> None:
    due_s = steps([100, 0, 400], step_s=2, seed=seed)
    counts, _ = np.histogram(due_s, bins=[0, 2, 4, 6])
    assert abs(counts[0] - 200) < 6 * math.sqrt(200)
    assert counts[1] == 0
    assert abs(counts[2] - 800) < 6 * math.sqrt(800)
    np.testing.assert_array_equal(due_s, steps([100, 0, 400], step_s=2, seed=seed))


def test_a_random_schedule_of_one_rate_is_the_poisson_one() -> None:
    np.testing.assert_allclose(
        steps([50, 50], step_s=3, seed=7), poisson(50, seed=7, seconds=6), rtol=1e-9
    )


def test_pauses_of_thinking_users_have_their_mean_and_repeat() -> None:
    pauses = thinking(2.0, seed=1, count=20_000)
    assert pauses.mean() == pytest.approx(2.0, rel=0.05)
    assert np.quantile(pauses, 0.95) == pytest.approx(2.0 * math.log(20), rel=0.05)
    np.testing.assert_array_equal(pauses[:10], thinking(2.0, seed=1, count=10))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: ramp(-1, 5, seconds=1), "from_per_s"),
        (lambda: ramp(0, math.inf, seconds=1), "to_per_s"),
        (lambda: ramp(0, 0, seconds=1), "stages"),
        (lambda: steps([], step_s=1), "stages"),
        (lambda: steps([1], step_s=0), "seconds"),
        (lambda: spike(1, 2, seconds=5, at_s=4, spike_s=1), "at_s"),
        (lambda: spike(1, 2, seconds=5, at_s=0, spike_s=1), "at_s"),
        (lambda: ramp(0, 5, seconds=1, seed=-1), "seed"),
        (lambda: thinking(0, seed=1, count=1), "mean_s"),
    ],
)
def test_shape_that_cannot_be_is_refused_by_name(call: Callable[[], object], name: str) -> None:
    with pytest.raises(LoadError, match=f"^{name}"):
        call()
