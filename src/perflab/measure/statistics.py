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


@dataclass(frozen=True)
class Blocks:
    """One arm's samples, sorted once, each with the block that it came from.

    ``values`` ascend; ``ids`` runs parallel to it and counts blocks from 0.
    """

    values: Floats
    ids: NDArray[np.intp]
    counts: NDArray[np.int64]
    sums: Floats
    medians: Floats

    @classmethod
    def of(cls, blocks: Sequence[Sequence[float] | Floats]) -> Blocks:
        """From one array per block; blocks may differ in size but not be empty."""
        arrays = [np.asarray(block, dtype=np.float64) for block in blocks]
        ids = np.repeat(np.arange(len(arrays)), [len(array) for array in arrays])
        return cls.from_columns(np.concatenate(arrays) if arrays else np.empty(0), ids)

    @classmethod
    def from_columns(cls, values: Floats, ids: NDArray[np.integer]) -> Blocks:
        """From parallel columns; every id from 0 to the largest must occur."""
        count = int(ids.max()) + 1 if len(ids) else 0
        counts = np.bincount(ids, minlength=count)
        if not np.all(counts):
            raise ValueError("a block without samples: number the blocks without gaps")
        if not np.all(np.isfinite(values)):
            raise ValueError("a sample is not a finite number")
        order = np.argsort(values, kind="stable")
        within = np.lexsort((values, ids))
        starts = np.concatenate(([0], np.cumsum(counts)[:-1])) if count else np.empty(0, np.int64)
        low = values[within[starts + (counts - 1) // 2]] if count else np.empty(0)
        high = values[within[starts + counts // 2]] if count else np.empty(0)
        return cls(
            values=values[order],
            ids=ids[order].astype(np.intp),
            counts=counts.astype(np.int64),
            sums=np.bincount(ids, weights=values, minlength=count).astype(np.float64),
            medians=(low + high) / 2,
        )

    @property
    def n(self) -> int:
        """Samples."""
        return len(self.values)

    @property
    def blocks(self) -> int:
        """Blocks."""
        return len(self.counts)

    @property
    def mean(self) -> float:
        """Mean of all samples."""
        return float(self.sums.sum() / self.n)

    def quantile(self, q: float) -> float:
        """The smallest sample that at least a share ``q`` of the samples does not exceed."""
        return float(self.values[_rank(q, np.array([self.n]))[0] - 1])


@dataclass(frozen=True)
class Resampling:
    """How often each block was drawn in each of ``RESAMPLES`` draws with replacement.

    One object serves every arm and statistic of a comparison, which keeps blocks paired.
    """

    multiplicities: NDArray[np.int32]
    """Shape (blocks, resamples)."""

    @classmethod
    def draw(cls, rng: np.random.Generator, blocks: int, resamples: int = RESAMPLES) -> Resampling:
        """Draw blocks with replacement."""
        drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples)
        return cls(np.ascontiguousarray(drawn.T, dtype=np.int32))


@dataclass(frozen=True)
class Bootstrapped:
    """One arm under one resampling; replicates are computed when asked for and kept."""

    arm: Blocks
    resampling: Resampling

    @cached_property
    def means(self) -> Floats:
        """The mean in every resample."""
        weights = self.resampling.multiplicities
        replicates: Floats = (self.arm.sums @ weights) / (self.arm.counts @ weights)
        return replicates

    @cached_property
    def _quantiles(self) -> dict[float, Floats]:
        return {}

    def quantiles(self, q: float) -> Floats:
        """The quantile in every resample."""
        if q not in self._quantiles:
            self._quantiles[q] = _resampled_quantile(self.arm, self.resampling, q)
        return self._quantiles[q]


def _rank(q: float, totals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank (from 1) of the quantile among ``totals`` samples; 1e-9 forgives q*n's rounding."""
    ranks: NDArray[np.int64] = np.maximum(np.ceil(q * totals - 1e-9), 1).astype(np.int64)
    return ranks


def _resampled_quantile(arm: Blocks, resampling: Resampling, q: float) -> Floats:
    """The quantile of each resample without building any resample.

    A resample is the sorted samples with each one repeated as often as its block was drawn, so
    its quantile is where the running total of repetitions passes the rank. The walk starts at
    the upper end and stops once every resample is settled: p99 of 100,000 samples reads about
    2,000 of them.
    """
    weights = resampling.multiplicities
    totals = arm.counts @ weights
    above = totals - _rank(q, totals)
    found = np.empty(weights.shape[1])
    pending = np.ones(weights.shape[1], dtype=bool)
    running = np.zeros(weights.shape[1], dtype=np.int32)
    values, ids = arm.values[::-1], arm.ids[::-1]
    for start in range(0, arm.n, _CHUNK):
        cumulated = weights[ids[start : start + _CHUNK]]
        cumulated[0] += running
        np.cumsum(cumulated, axis=0, dtype=np.int32, out=cumulated)
        running = cumulated[-1]
        settled = pending & (running > above)
        steps = np.count_nonzero(cumulated[:, settled] <= above[settled], axis=0)
        found[settled] = values[start + steps]
        pending &= ~settled
        if not pending.any():
            break
    return found


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
