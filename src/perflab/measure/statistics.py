"""Intervals for latencies that came in blocks: ratios of two arms, and single arms.

The unit is the block (one stay in one arm), never the call: calls of one block share whatever
the machine did meanwhile. All intervals are two-sided 95 %.

====================  ==========================================================================
figure                interval
====================  ==========================================================================
ratio of medians      Student t on the log ratios of the paired blocks' medians
ratio of means        Student t on the log of the ratio, linearised over paired blocks
ratio of p95, p99     percentile bootstrap of paired blocks
an arm's mean         studentised bootstrap of blocks, on the log scale
an arm's median       percentile bootstrap of blocks, tails widened for few blocks
an arm's p95, p99     binomial ranks at the effective number of samples
====================  ==========================================================================

On 24 blocks of data with known answers the plain percentile bootstrap covered .92 to .94 for
ratios of means, .89 to .93 for an arm's mean and .80 to .93 for its percentiles, so it is used
only where it suffices; ``tests/measure/test_coverage.py`` keeps the proof.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from scipy import special

from perflab.measure.blocks import Blocks, Bootstrapped, Floats, rank

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
MIN_BLOCKS = 20
"""Fewer blocks and the bootstrap's intervals are too short."""
MIN_REPETITIONS = 3
"""Fewer repetitions and Student's factor (12.7 at two) says nothing about the system."""

_COARSE = "the clock is too coarse for this call"


class Interval(msgspec.Struct, frozen=True, tag="interval"):
    """An estimate with its two-sided 95 % interval."""

    estimate: float
    lo: float
    hi: float

    def covers(self, value: float) -> bool:
        """True if ``value`` lies inside, ends included."""
        return self.lo <= value <= self.hi

    def scaled(self, factor: float) -> Interval:
        """Every figure times a positive factor, e.g. 1,000 from seconds to milliseconds."""
        return Interval(self.estimate * factor, self.lo * factor, self.hi * factor)


class NotEstimable(msgspec.Struct, frozen=True, tag="not_estimable"):
    """In place of an interval that the data cannot carry, with the reason."""

    reason: str


Estimate: TypeAlias = Interval | NotEstimable


def exact(value: float) -> Interval:
    """A figure without sampling error, such as a count."""
    return Interval(value, value, value)


def min_samples(q: float) -> int:
    """The fewest independent samples whose ranks can give a two-sided 95 % interval for ``q``.

    The widest interval between order statistics is smallest to largest; it misses the quantile
    on one side with probability max(q, 1-q)**n, which must not exceed 2.5 %: 72 for p95, 368
    for p99, 3,688 for p99.9. ``scipy.stats.quantile_test`` agrees (tested).
    """
    if not 0 < q < 1:
        raise ValueError(f"q={q}: a quantile lies between 0 and 1")
    return math.ceil(math.log(TAIL) / math.log(max(q, 1 - q)))


def ratio_of_medians(before: Blocks, after: Blocks) -> Estimate:
    """after/before: Student t on the log ratios of the paired blocks' medians.

    The estimate is the typical block's ratio (the geometric mean over blocks).
    """
    _check_paired(before, after)
    if refused := _refusal(before):
        return refused
    if before.medians.min() <= 0 or after.medians.min() <= 0:
        return NotEstimable(f"a block's median is 0: {_COARSE}")
    logs = np.log(after.medians) - np.log(before.medians)
    centre = float(logs.mean())
    half = _student_half_width(logs)
    return Interval(math.exp(centre), math.exp(centre - half), math.exp(centre + half))


def ratio_of_means(before: Blocks, after: Blocks) -> Estimate:
    """after/before: Student t on the log of the ratio, its error linearised over paired blocks.

    A block's influence on log(after/before) is its deviation from the after mean, relative to
    that mean, less the same of before (delta method; Cochran, Sampling Techniques, ch. 6).
    """
    _check_paired(before, after)
    if refused := _refusal(before, after):
        return refused
    if before.mean <= 0 or after.mean <= 0:
        return NotEstimable(f"a mean is 0: {_COARSE}")
    ratio = after.mean / before.mean
    half = _student_half_width(after.mean_log_influences - before.mean_log_influences)
    return Interval(ratio, ratio * math.exp(-half), ratio * math.exp(half))


def ratio_of_quantiles(before: Bootstrapped, after: Bootstrapped, q: float) -> Estimate:
    """after/before: percentile bootstrap of paired blocks."""
    _check_paired(before.arm, after.arm)
    if refused := _refusal(before.arm, after.arm, q=q):
        return refused
    if before.quantiles(q).min() <= 0:
        return NotEstimable(f"a percentile is 0: {_COARSE}")
    estimate = after.arm.quantile(q) / before.arm.quantile(q)
    return _percentile_interval(estimate, after.quantiles(q) / before.quantiles(q))


def mean_of(arm: Bootstrapped) -> Estimate:
    """One arm's mean: studentised bootstrap of blocks on the log scale.

    Latencies are skewed to the right: intervals that ignore it end too low and would call a
    promise met that is not (Efron and Tibshirani, An Introduction to the Bootstrap, ch. 12).
    Known shortfall: where a few calls in a hundred make a good part of the mean, it still ends
    too low in up to 10 % of experiments of a few hundred calls; prefer the ratio there.
    """
    if refused := _refusal(arm.arm):
        return refused
    if arm.means.min() <= 0:
        return NotEstimable(f"a mean is 0: {_COARSE}")
    mean, error = arm.arm.mean, arm.arm.mean_log_error
    errors = arm.mean_log_errors
    if error == 0 or errors.min() <= 1e-6 * error:
        return _widened_interval(mean, arm.means, arm.arm.blocks)
    low, high = _tails((np.log(arm.means) - math.log(mean)) / errors, TAIL)
    return Interval(mean, mean * math.exp(-high * error), mean * math.exp(-low * error))


def median_of(arm: Bootstrapped) -> Estimate:
    """One arm's median: percentile bootstrap of blocks, tails widened for few blocks."""
    if refused := _refusal(arm.arm, q=0.5):
        return refused
    return _widened_interval(arm.arm.quantile(0.5), arm.quantiles(0.5), arm.arm.blocks)


def quantile_of(arm: Blocks, q: float) -> Estimate:
    """One arm's percentile: binomial ranks at the effective number of samples.

    Blocks that differ carry less than their samples' number: n is divided by the design effect
    (at least 1) and by Student's price for estimating it from few blocks, then Clopper and
    Pearson's limits for the share below the percentile are read off the samples (Korn and
    Graubard, Survey Methodology 24, 1998). Not estimable where that leaves fewer than
    ``min_samples``: the limit would lie beyond the largest sample.
    """
    if refused := _refusal(arm, q=q):
        return refused
    estimate = arm.quantile(q)
    between = float(arm.shares_up_to(estimate).var(ddof=1)) / arm.blocks
    design_effect = max(1.0, between / (q * (1 - q) / arm.n))
    price = _student(arm.blocks - 1) / float(special.ndtri(1 - TAIL))
    effective = arm.n / design_effect / price**2
    if effective < min_samples(q):
        return NotEstimable(
            f"{arm.n} samples in {arm.blocks} blocks are worth {math.floor(effective)} independent "
            f"ones; {_named(q)} needs {min_samples(q):,}"
        )
    low = special.betaincinv(q * effective, (1 - q) * effective + 1, TAIL)
    high = special.betaincinv(q * effective + 1, (1 - q) * effective, 1 - TAIL)
    ranks = max(1, math.floor(low * arm.n)), min(arm.n, math.ceil(high * arm.n) + 1)
    return Interval(estimate, float(arm.values[ranks[0] - 1]), float(arm.values[ranks[1] - 1]))


def independent_quantile(samples: Sequence[float] | Floats, q: float) -> Estimate:
    """A quantile of independent samples by exact binomial ranks; not for calls of blocks.

    The interval of ``scipy.stats.quantile_test``, which tests pin it to.
    """
    values = np.sort(np.asarray(samples, dtype=np.float64))
    n = len(values)
    if n < min_samples(q):
        return NotEstimable(f"{n} samples; {_named(q)} needs {min_samples(q):,}")
    from scipy import stats  # a second to import, and everything imports this module

    low = int(stats.binom.ppf(TAIL, n, q))
    high = int(stats.binom.isf(TAIL, n, q))
    ends = max(low - 1, 0), min(high, n - 1)
    estimate = float(values[rank(q, np.array([n]))[0] - 1])
    return Interval(estimate, float(values[ends[0]]), float(values[ends[1]]))


def mean_of_repetitions(values: Sequence[float] | Floats) -> Estimate:
    """The mean of independent repetitions with Student's interval."""
    repetitions = np.asarray(values, dtype=np.float64)
    if len(repetitions) < MIN_REPETITIONS:
        return NotEstimable(f"{len(repetitions)} repetitions; an interval needs {MIN_REPETITIONS}")
    if not np.all(np.isfinite(repetitions)):
        return NotEstimable("a repetition gave no finite value")
    centre, half = float(repetitions.mean()), _student_half_width(repetitions)
    return Interval(centre, centre - half, centre + half)


def _named(q: float) -> str:
    return "the median" if q == 0.5 else f"p{100 * q:g}"


def _refusal(*arms: Blocks, q: float | None = None) -> NotEstimable | None:
    for arm in arms:
        if arm.blocks < MIN_BLOCKS:
            return NotEstimable(f"{arm.blocks} blocks; an interval needs {MIN_BLOCKS}")
        if q is not None and arm.n < min_samples(q):
            return NotEstimable(f"{arm.n} samples; {_named(q)} needs {min_samples(q):,}")
    return None


def _check_paired(before: Blocks, after: Blocks) -> None:
    if before.blocks != after.blocks:
        raise ValueError(f"{before.blocks} and {after.blocks} blocks cannot be paired")


def _tails(replicates: Floats, tail: float) -> tuple[float, float]:
    low, high = np.quantile(replicates, [tail, 1 - tail], method="weibull")
    return float(low), float(high)


def _percentile_interval(estimate: float, replicates: Floats) -> Interval:
    return Interval(estimate, *_tails(replicates, TAIL))


def _widened_interval(estimate: float, replicates: Floats, blocks: int) -> Interval:
    """The expanded percentile interval of Hesterberg (The American Statistician 69, 2015, §4.2).

    A bootstrap spreads by the divisor n and not n-1 and knows no Student's t; at 24 blocks the
    tails of 2.5 % have to become 1.7 %.
    """
    factor = math.sqrt(blocks / (blocks - 1)) * _student(blocks - 1)
    return Interval(estimate, *_tails(replicates, float(special.ndtr(-factor))))


def _student_half_width(values: Floats) -> float:
    return _student(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))


def _student(degrees_of_freedom: int) -> float:
    # Straight from scipy.special: scipy.stats checks arguments for longer than this takes.
    return float(special.stdtrit(degrees_of_freedom, 1 - TAIL))
