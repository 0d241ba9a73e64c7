from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from perflab.measure.blocks import Blocks, Bootstrapped, Resampling
from perflab.measure.statistics import (
    MIN_BLOCKS,
    Interval,
    NotEstimable,
    independent_quantile,
    mean_of,
    mean_of_repetitions,
    median_of,
    min_samples,
    quantile_of,
    ratio_of_means,
    ratio_of_medians,
    ratio_of_quantiles,
)


def lognormal_blocks(seed: int, blocks: int = 24, size: int = 16, scale: float = 1.0) -> Blocks:
    rng = np.random.default_rng(seed)
    return Blocks.of([scale * rng.lognormal(0, 0.4, size) for _ in range(blocks)])


def bootstrapped(arm: Blocks, resamples: int = 999) -> Bootstrapped:
    return Bootstrapped(arm, Resampling.draw(np.random.default_rng(0), arm.blocks, resamples))


def interval(estimate: object) -> Interval:
    assert isinstance(estimate, Interval)
    return estimate


def scipys_interval(values: NDArray[Any], q: float) -> tuple[float, float]:
    found: Any = stats.quantile_test(values, p=q).confidence_interval(0.95)
    return float(found.low), float(found.high)


@pytest.mark.parametrize(("q", "fewest"), [(0.95, 72), (0.99, 368), (0.999, 3_688)])
def test_min_samples_is_where_exact_ranks_begin_to_exist(q: float, fewest: int) -> None:
    assert min_samples(q) == min_samples(1 - q) == fewest
    assert np.isfinite(scipys_interval(np.arange(fewest), q)[1])
    assert np.isnan(scipys_interval(np.arange(fewest - 1), q)[1])


@pytest.mark.parametrize("q", [0.05, 0.5, 0.9, 0.95, 0.99])
def test_independent_quantile_is_scipys_quantile_test(q: float) -> None:
    rng = np.random.default_rng(1)
    for n in (min_samples(q), min_samples(q) + 1, min_samples(q) + 37, 1_000, 5_000):
        values = rng.random(n)
        ours = interval(independent_quantile(values, q))
        assert (ours.lo, ours.hi) == scipys_interval(values, q)
        assert ours.estimate == np.quantile(values, q, method="inverted_cdf")


def test_too_few_independent_samples_are_not_estimable() -> None:
    refused = independent_quantile(np.arange(367.0), 0.99)
    assert refused == NotEstimable("367 samples; p99 needs 368")


@given(
    sizes=st.lists(st.integers(1, 20), min_size=2, max_size=8),
    q=st.sampled_from([0.05, 0.5, 0.9, 0.95, 0.99]),
    seed=st.integers(0, 2**32 - 1),
)
def test_resampled_quantiles_are_those_of_the_resamples_built(
    sizes: list[int], q: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    blocks = [rng.lognormal(rng.normal(), 0.5, size).round(1) + 0.1 for size in sizes]
    arm = Blocks.of(blocks)
    resampling = Resampling.draw(rng, len(blocks), 19)
    boot = Bootstrapped(arm, resampling)
    for number, times in enumerate(resampling.multiplicities.T):
        drawn = np.concatenate([np.tile(block, n) for block, n in zip(blocks, times, strict=True)])
        assert boot.quantiles(q)[number] == np.quantile(drawn, q, method="inverted_cdf")
        assert boot.means[number] == pytest.approx(drawn.mean())


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9), seed=st.integers(0, 999))
def test_block_medians_are_numpys(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = [rng.random(size) for size in sizes]
    assert Blocks.of(blocks).medians == pytest.approx([np.median(block) for block in blocks])


def test_linearised_error_of_the_mean_is_the_textbooks_for_equal_blocks() -> None:
    arm = lognormal_blocks(3)
    means = arm.sums / arm.counts
    expected = means.std(ddof=1) / math.sqrt(len(means)) / arm.mean
    assert arm.mean_log_error == pytest.approx(expected)
    ones = Resampling(np.ones((arm.blocks, 1), np.int32))
    # The resample that draws every block once is the arm itself.
    assert Bootstrapped(arm, ones).mean_log_errors[0] == pytest.approx(expected)


def test_ratio_of_medians_is_students_interval_of_the_log_ratios() -> None:
    before, after = lognormal_blocks(1), lognormal_blocks(2, scale=0.5)
    ours = interval(ratio_of_medians(before, after))
    logs = np.log(after.medians / before.medians)
    theirs = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert (math.log(ours.lo), math.log(ours.hi)) == pytest.approx((theirs.low, theirs.high))


def test_mean_of_repetitions_is_students_interval() -> None:
    values = [10.0, 12.0, 11.0, 13.5]
    ours = interval(mean_of_repetitions(values))
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (ours.lo, ours.hi) == pytest.approx((theirs.low, theirs.high))
    assert isinstance(mean_of_repetitions(values[:2]), NotEstimable)
    assert isinstance(mean_of_repetitions([1.0, 2.0, math.inf]), NotEstimable)


@given(factor=st.floats(0.01, 100), unit=st.floats(1e-6, 1e6))
def test_ratios_scale_with_the_after_arm_and_not_with_the_unit(factor: float, unit: float) -> None:
    before, after = lognormal_blocks(1), lognormal_blocks(2)
    scaled_before = lognormal_blocks(1, scale=unit)
    scaled_after = lognormal_blocks(2, scale=unit * factor)
    one, other = bootstrapped(before), bootstrapped(after)
    scaled_one, scaled_other = bootstrapped(scaled_before), bootstrapped(scaled_after)
    for plain, scaled in (
        (ratio_of_medians(before, after), ratio_of_medians(scaled_before, scaled_after)),
        (ratio_of_means(before, after), ratio_of_means(scaled_before, scaled_after)),
        (
            ratio_of_quantiles(one, other, 0.95),
            ratio_of_quantiles(scaled_one, scaled_other, 0.95),
        ),
    ):
        expected = interval(plain).scaled(factor)
        found = interval(scaled)
        assert (found.estimate, found.lo, found.hi) == pytest.approx(
            (expected.estimate, expected.lo, expected.hi), rel=1e-6
        )


def test_intervals_hold_their_estimates() -> None:
    for seed in range(20):
        before, after = lognormal_blocks(seed), lognormal_blocks(seed + 100)
        one, other = bootstrapped(before), bootstrapped(after)
        for estimate in (
            ratio_of_medians(before, after),
            ratio_of_means(before, after),
            ratio_of_quantiles(one, other, 0.95),
            mean_of(one),
            median_of(one),
            quantile_of(before, 0.95),
        ):
            found = interval(estimate)
            assert found.covers(found.estimate)


def test_nineteen_blocks_are_not_estimable_and_the_reason_says_so() -> None:
    before, after = (lognormal_blocks(seed, blocks=MIN_BLOCKS - 1) for seed in (1, 2))
    one, other = bootstrapped(before), bootstrapped(after)
    for refused in (
        ratio_of_medians(before, after),
        ratio_of_means(before, after),
        ratio_of_quantiles(one, other, 0.95),
        mean_of(one),
        median_of(one),
        quantile_of(before, 0.95),
    ):
        assert refused == NotEstimable("19 blocks; an interval needs 20")


def test_a_ratio_of_p99_needs_368_samples_in_each_arm() -> None:
    for size, given_ in ((15, False), (16, True)):
        one, other = (bootstrapped(lognormal_blocks(seed, size=size)) for seed in (1, 2))
        assert isinstance(ratio_of_quantiles(one, other, 0.99), Interval) == given_


def test_blocks_that_differ_are_worth_fewer_samples() -> None:
    rng = np.random.default_rng(5)
    alike = Blocks.of([rng.lognormal(0, 0.3, 40) for _ in range(24)])
    apart = Blocks.of([rng.lognormal(rng.normal(), 0.3, 40) for _ in range(24)])
    assert isinstance(quantile_of(alike, 0.99), Interval)
    refused = quantile_of(apart, 0.99)
    assert isinstance(refused, NotEstimable)
    assert "960 samples in 24 blocks are worth" in refused.reason


def test_a_clock_too_coarse_for_a_call_gives_no_ratio() -> None:
    zero, one = Blocks.of([[0.0] * 5] * 24), Blocks.of([[1.0] * 5] * 24)
    for refused in (
        ratio_of_medians(zero, one),
        ratio_of_means(zero, one),
        ratio_of_quantiles(bootstrapped(zero), bootstrapped(one), 0.95),
        mean_of(bootstrapped(zero)),
    ):
        assert isinstance(refused, NotEstimable)
        assert "clock" in refused.reason


def test_constant_samples_give_an_interval_without_width() -> None:
    constant = Blocks.of([[2.0] * 5] * 24)
    assert mean_of(bootstrapped(constant)) == Interval(2.0, 2.0, 2.0)
    assert ratio_of_means(constant, constant) == Interval(1.0, 1.0, 1.0)


def test_blocks_refuse_gaps_and_values_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="without samples"):
        Blocks.from_columns(np.ones(2), np.array([0, 2]))
    with pytest.raises(ValueError, match="finite"):
        Blocks.of([[1.0, math.nan]])
    with pytest.raises(ValueError, match="cannot be paired"):
        ratio_of_medians(lognormal_blocks(1, blocks=24), lognormal_blocks(1, blocks=25))
    with pytest.raises(ValueError, match="between 0 and 1"):
        min_samples(1.0)


def test_a_hundred_thousand_samples_are_no_problem() -> None:
    arm = bootstrapped(lognormal_blocks(7, blocks=100, size=1_000))
    for estimate in (mean_of(arm), median_of(arm), quantile_of(arm.arm, 0.99)):
        assert interval(estimate).covers(interval(estimate).estimate)
