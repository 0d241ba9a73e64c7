"""Intervals for latencies that came in blocks: ratios of two arms, and single arms.

The unit of resampling is the block (one stay in one arm), never the call: calls of one block
share whatever the machine did meanwhile. Methods and thresholds are those that
``tests/measure/test_coverage.py`` proves on data with known answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
MIN_BLOCKS = 20
"""Fewer blocks and the bootstrap's intervals are too short."""
MIN_REPETITIONS = 3
"""Fewer repetitions and Student's factor (12.7 at two) says nothing about the system."""
RESAMPLES = 999
"""With 999 the limits are the 25th and the 975th of the sorted replicates, no interpolation."""

_CHUNK = 64

Floats: TypeAlias = NDArray[np.float64]


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
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(max(q, 1 - q)))


def _percentile_interval(estimate: float, replicates: Floats) -> Interval:
    ordered = np.sort(replicates)
    tail = round((len(ordered) + 1) * (1 - CONFIDENCE) / 2)
    return Interval(estimate, float(ordered[tail - 1]), float(ordered[len(ordered) - tail]))


def _refusal(blocks: int, n: int, q: float | None = None) -> NotEstimable | None:
    if blocks < MIN_BLOCKS:
        return NotEstimable(f"{blocks} blocks; the bootstrap needs {MIN_BLOCKS}")
    if q is not None and n < min_samples(q):
        return NotEstimable(f"{n} samples; p{100 * q:g} needs {min_samples(q):,}")
    return None


def _paired(before: Blocks, after: Blocks) -> None:
    if before.blocks != after.blocks:
        raise ValueError(f"{before.blocks} and {after.blocks} blocks cannot be paired")


def ratio_of_medians(before: Blocks, after: Blocks) -> Estimate:
    """after/before: Student t on the log ratios of the paired blocks' medians.

    The estimate is the typical block's ratio (the geometric mean over blocks).
    """
    _paired(before, after)
    if before.blocks < MIN_BLOCKS:
        return NotEstimable(f"{before.blocks} blocks; an interval needs {MIN_BLOCKS}")
    if before.medians.min() <= 0 or after.medians.min() <= 0:
        return NotEstimable("a block's median is 0: the clock is too coarse for this call")
    logs = np.log(after.medians) - np.log(before.medians)
    centre = float(logs.mean())
    half = _student_half_width(logs)
    return Interval(math.exp(centre), math.exp(centre - half), math.exp(centre + half))


def ratio_of_means(before: Bootstrapped, after: Bootstrapped) -> Estimate:
    """after/before: percentile bootstrap of whole paired blocks."""
    _paired(before.arm, after.arm)
    if refused := _refusal(before.arm.blocks, min(before.arm.n, after.arm.n)):
        return refused
    if before.means.min() <= 0:
        return NotEstimable("a mean is 0: the clock is too coarse for this call")
    return _percentile_interval(after.arm.mean / before.arm.mean, after.means / before.means)


def ratio_of_quantiles(before: Bootstrapped, after: Bootstrapped, q: float) -> Estimate:
    """after/before: percentile bootstrap of whole paired blocks."""
    _paired(before.arm, after.arm)
    if refused := _refusal(before.arm.blocks, min(before.arm.n, after.arm.n), q):
        return refused
    if before.quantiles(q).min() <= 0:
        return NotEstimable("a percentile is 0: the clock is too coarse for this call")
    estimate = after.arm.quantile(q) / before.arm.quantile(q)
    return _percentile_interval(estimate, after.quantiles(q) / before.quantiles(q))


def mean_of(arm: Bootstrapped) -> Estimate:
    """One arm's mean: percentile bootstrap of whole blocks."""
    if refused := _refusal(arm.arm.blocks, arm.arm.n):
        return refused
    return _percentile_interval(arm.arm.mean, arm.means)


def quantile_of(arm: Bootstrapped, q: float) -> Estimate:
    """One arm's quantile: percentile bootstrap of whole blocks."""
    if refused := _refusal(arm.arm.blocks, arm.arm.n, q):
        return refused
    return _percentile_interval(arm.arm.quantile(q), arm.quantiles(q))


def independent_quantile(samples: Sequence[float] | Floats, q: float) -> Estimate:
    """A quantile of independent samples by exact binomial ranks; not for calls of blocks."""
    values = np.sort(np.asarray(samples, dtype=np.float64))
    if len(values) < min_samples(q):
        return NotEstimable(f"{len(values)} samples; p{100 * q:g} needs {min_samples(q):,}")
    tail = (1 - CONFIDENCE) / 2
    # The interval of scipy.stats.quantile_test, whose confidence_interval finds these ranks.
    low = int(stats.binom.ppf(tail, len(values), q))
    high = int(stats.binom.isf(tail, len(values), q))
    if stats.binom.cdf(low - 1, len(values), q) > tail:
        low -= 1
    rank = int(_rank(q, np.array([len(values)]))[0])
    return Interval(float(values[rank - 1]), float(values[low - 1]), float(values[high]))


def mean_of_repetitions(values: Sequence[float] | Floats) -> Estimate:
    """The mean of independent repetitions with Student's interval."""
    repetitions = np.asarray(values, dtype=np.float64)
    if len(repetitions) < MIN_REPETITIONS:
        return NotEstimable(f"{len(repetitions)} repetitions; an interval needs {MIN_REPETITIONS}")
    if not np.all(np.isfinite(repetitions)):
        return NotEstimable("a repetition gave no finite value")
    centre, half = float(repetitions.mean()), _student_half_width(repetitions)
    return Interval(centre, centre - half, centre + half)


def _student_half_width(values: Floats) -> float:
    factor = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return float(factor * values.std(ddof=1) / math.sqrt(len(values)))
