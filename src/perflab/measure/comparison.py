"""What an experiment says: each arm's figures, their ratios and the A/A noise floor."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from perflab.measure.blocks import Blocks, Bootstrapped, Resampling
from perflab.measure.samples import Samples, SamplesError
from perflab.measure.statistics import (
    Estimate,
    Interval,
    NotEstimable,
    mean_of,
    median_of,
    quantile_of,
    ratio_of_means,
    ratio_of_medians,
    ratio_of_quantiles,
)

Statistic: TypeAlias = Literal["mean", "median", "p95", "p99"]

_BOOTSTRAP = 3
"""The stream of the experiment's seed that resampling draws from."""


class ArmFigures(msgspec.Struct, frozen=True):
    """One arm's latency in milliseconds."""

    mean_ms: Estimate
    median_ms: Estimate
    p95_ms: Estimate
    p99_ms: Estimate
    n: int
    """Timed calls."""
    blocks: int

    def of(self, statistic: Statistic) -> Estimate:
        """The figure by its statistic's name."""
        estimate: Estimate = getattr(self, f"{statistic}_ms")
        return estimate


class Ratios(msgspec.Struct, frozen=True):
    """One arm over another, below 1 where the first is faster."""

    mean: Estimate
    median: Estimate
    p95: Estimate
    p99: Estimate

    def of(self, statistic: Statistic) -> Estimate:
        """The ratio by its statistic's name."""
        estimate: Estimate = getattr(self, statistic)
        return estimate


class Comparison(msgspec.Struct, frozen=True):
    """An experiment's outcome over some of its operations, each with the same weight."""

    before: ArmFigures
    after: ArmFigures
    ratio: Ratios
    """after/before."""
    aa: Ratios
    """control/after: the same system twice."""
    n: int
    """Timed calls of each arm."""
    blocks: int

    @property
    def mean(self) -> Estimate:
        """after/before, ratio of means."""
        return self.ratio.mean

    @property
    def median(self) -> Estimate:
        """after/before, ratio of medians."""
        return self.ratio.median

    @property
    def p95(self) -> Estimate:
        """after/before, ratio of 95th percentiles."""
        return self.ratio.p95

    @property
    def p99(self) -> Estimate:
        """after/before, ratio of 99th percentiles."""
        return self.ratio.p99

    def noise_floor_percent(self, statistic: Statistic = "mean") -> float | None:
        """How far the A/A interval reaches from 1: smaller differences are not to be trusted."""
        aa = self.aa.of(statistic)
        if isinstance(aa, NotEstimable):
            return None
        return 100 * max(abs(aa.lo - 1), abs(aa.hi - 1))


def compare(
    samples: Samples,
    operations: Collection[str] | None = None,
    groups: Collection[str] | None = None,
    selectivities: Collection[str] | None = None,
) -> Comparison:
    """Compare the arms over these operations, groups and selectivities; None means all.

    Every operation has the same number of calls in a block, so pooling them is the mix in which
    each weighs the same. The resampling follows from the experiment's seed: the same samples
    give the same intervals, and every subset is resampled by the same blocks.
    """
    chosen = samples.select(operations, groups, selectivities)
    if not len(chosen):
        raise SamplesError("no timed call matches the operations, groups and selectivities")
    rounds, ids = np.unique(chosen.round, return_inverse=True)
    rng = np.random.default_rng([samples.seed, _BOOTSTRAP])
    resampling = Resampling.draw(rng, len(rounds))
    before, after, control = (
        Bootstrapped(
            Blocks.from_columns(chosen.latency_s[chosen.arm == arm], ids[chosen.arm == arm]),
            resampling,
        )
        for arm in range(3)
    )
    return Comparison(
        before=_figures(before),
        after=_figures(after),
        ratio=_ratios(before, after),
        aa=_ratios(after, control),
        n=after.arm.n,
        blocks=len(rounds),
    )


def _figures(arm: Bootstrapped) -> ArmFigures:
    return ArmFigures(
        mean_ms=_ms(mean_of(arm)),
        median_ms=_ms(median_of(arm)),
        p95_ms=_ms(quantile_of(arm.arm, 0.95)),
        p99_ms=_ms(quantile_of(arm.arm, 0.99)),
        n=arm.arm.n,
        blocks=arm.arm.blocks,
    )


def _ratios(before: Bootstrapped, after: Bootstrapped) -> Ratios:
    return Ratios(
        mean=ratio_of_means(before.arm, after.arm),
        median=ratio_of_medians(before.arm, after.arm),
        p95=ratio_of_quantiles(before, after, 0.95),
        p99=ratio_of_quantiles(before, after, 0.99),
    )


def _ms(estimate: Estimate) -> Estimate:
    return estimate.scaled(1_000) if isinstance(estimate, Interval) else estimate
