"""The scalability law: published figures, known curves, and the points that it refuses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.capacity.errors import CapacityError
from perflab.capacity.scalability import NotFitted, Parameters, Scalability, fit
from perflab.measure.statistics import Interval, NotEstimable

LOADS = (1, 2, 4, 8, 16, 32, 64)
SPEC_LOADS = (1, 18, 36, 72, 108, 144, 216)
SPEC_THROUGHPUT = (64.9, 995.9, 1652.4, 1853.2, 1828.9, 1775.0, 1702.2)
"""``specsdm91`` of the R package ``usl``."""


def fitted(users: Sequence[float], throughput: Sequence[float], resamples: int = 20) -> Scalability:
    found = fit(users, throughput, resamples=resamples)
    assert isinstance(found, Scalability)
    return found


def test_the_published_reference_comes_out() -> None:
    """The figures that the R package's manual prints for its own data."""
    found = fitted(SPEC_LOADS, SPEC_THROUGHPUT, resamples=100)
    assert found.fitted.gamma == pytest.approx(89.995, abs=5e-4)
    assert found.fitted.sigma == pytest.approx(0.027728, abs=5e-7)
    assert found.fitted.kappa == pytest.approx(0.00010437, abs=5e-9)
    assert found.fitted.peak_users == pytest.approx(96.5, abs=0.05)
    assert found.fitted.limit == pytest.approx(3246, abs=0.5)
    assert isinstance(found.peak, Interval)
    assert found.peak.estimate == pytest.approx(1884, abs=0.5)
    for interval in (found.gamma, found.sigma, found.kappa, found.peak_users, found.limit):
        assert isinstance(interval, Interval)
        assert interval.lo < interval.estimate < interval.hi


@given(
    gamma=st.floats(1, 5000),
    sigma=st.floats(0.001, 0.3),
    kappa=st.floats(0.0001, 0.005),
)
@settings(max_examples=15, deadline=None)
def test_a_curve_without_noise_is_found_again(gamma: float, sigma: float, kappa: float) -> None:
    curve = Parameters(gamma, sigma, kappa)
    points = curve.at(np.array(LOADS, dtype=float))
    if points.max() < 1.2 * points[0]:
        return
    found = fitted(LOADS, points.tolist(), resamples=2)
    assert found.fitted.gamma == pytest.approx(gamma, rel=1e-4)
    assert found.fitted.sigma == pytest.approx(sigma, rel=1e-3, abs=1e-5)
    assert found.fitted.kappa == pytest.approx(kappa, rel=1e-3, abs=1e-6)


def test_the_peak_is_the_highest_point_and_the_knee_where_linear_growth_comes_to_it() -> None:
    curve = Parameters(100.0, 0.05, 0.001)
    around = curve.at(np.array([curve.peak_users - 1, curve.peak_users, curve.peak_users + 1]))
    assert around.argmax() == 1
    assert curve.knee_users * curve.gamma == pytest.approx(float(around[1]))
    without_peak = Parameters(100.0, 0.05, 0.0)
    assert without_peak.highest == without_peak.limit == pytest.approx(2000)
    assert without_peak.knee_users == pytest.approx(20)


def test_the_bands_cover_the_true_curve_in_about_19_of_20_data_sets() -> None:
    """Known curve, noise of 2 % of its highest throughput, three repetitions a load."""
    curve = Parameters(100.0, 0.04, 0.0008)
    loads = np.repeat(np.array(LOADS, dtype=float), 3)
    rng = np.random.default_rng(5)
    noise = 0.02 * curve.highest
    covered = 0
    for number in range(24):
        points = curve.at(loads) + rng.normal(0, noise, len(loads))
        found = fit(loads.tolist(), np.maximum(points, 1.0).tolist(), seed=number, resamples=59)
        assert isinstance(found, Scalability)
        covered += found.at(48).covers(float(curve.at(48)))
    assert covered >= 20


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others() -> None:
    def peak(seed: int) -> object:
        found = fit(SPEC_LOADS, SPEC_THROUGHPUT, seed=seed, resamples=30)
        assert isinstance(found, Scalability)
        return found.peak

    assert peak(1) == peak(1)
    assert peak(1) != peak(2)


def test_too_few_loads_are_refused_however_often_they_were_repeated() -> None:
    refused = fit([1, 2, 4, 8, 16] * 3, [10, 19, 35, 60, 80] * 3)
    assert refused == NotFitted("5 different loads; a curve needs 6")


def test_points_that_hardly_rise_are_refused() -> None:
    refused = fit(LOADS, [100, 104, 103, 101, 105, 99, 100])
    assert isinstance(refused, NotFitted)
    assert "hardly rises: 100 requests/s at 1 users, at most 105" in refused.reason


def test_points_that_no_such_curve_describes_are_refused() -> None:
    refused = fit(LOADS, [10, 20, 40, 20, 10, 500, 900])
    assert isinstance(refused, NotFitted)
    assert "does not describe these points" in refused.reason


def test_a_curve_without_a_peak_says_so_and_still_has_its_limit() -> None:
    curve = Parameters(100.0, 0.05, 0.0)
    found = fitted(LOADS, curve.at(np.array(LOADS, dtype=float)).tolist())
    assert found.peak == found.peak_users
    assert isinstance(found.peak, NotEstimable)
    assert "κ = 0" in found.peak.reason
    assert isinstance(found.limit, Interval)
    assert found.limit.estimate == pytest.approx(2000, rel=1e-3)


def test_a_peak_far_beyond_the_points_is_not_told() -> None:
    curve = Parameters(100.0, 0.02, 0.00001)  # its peak is at 313 users
    found = fitted(LOADS, curve.at(np.array(LOADS, dtype=float)).tolist())
    assert isinstance(found.peak, NotEstimable)
    assert "beyond 2 times the 64 that were measured" in found.peak.reason


def test_linear_growth_has_neither_knee_nor_limit() -> None:
    found = fitted(LOADS, [100.0 * n for n in LOADS])
    assert isinstance(found.knee, NotEstimable)
    assert isinstance(found.limit, NotEstimable)
    assert isinstance(found.peak, NotEstimable)


@pytest.mark.parametrize("users", [0.5, 433.0, math.inf])
def test_the_curve_is_not_read_far_beyond_its_points(users: float) -> None:
    found = fitted(SPEC_LOADS, SPEC_THROUGHPUT)
    assert found.at(432).estimate > 0
    with pytest.raises(CapacityError, match="from 1 to 432"):
        found.at(users)


@pytest.mark.parametrize(
    ("users", "throughput", "said"),
    [
        ([1, 2], [1.0], "1 figures for 2 loads"),
        ([0, 1], [1.0, 2.0], "users: a concurrency"),
        ([1, math.nan], [1.0, 2.0], "users: a concurrency"),
        ([1, 2], [1.0, 0.0], "throughput: requests a second"),
        ([1, 2], [1.0, math.inf], "throughput: requests a second"),
    ],
)
def test_what_is_no_measurement_is_refused_by_name(
    users: list[float], throughput: list[float], said: str
) -> None:
    with pytest.raises(CapacityError, match=said):
        fit(users, throughput)
