"""The value of an expression at a moment, worked out as Prometheus 2 does.

Source: ``extrapolatedRate`` and ``bucketQuantile`` in Prometheus' promql/functions.go and
promql/quantile.go. ``promtool test rules`` holds this module to them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from perflab.monitor.alerts.expressions import (
    Comparison,
    Expression,
    Quantile,
    Rate,
    Ratio,
    Selector,
    Value,
)
from perflab.monitor.alerts.series import Labels, Point, Store

_EXTRAPOLATED: Final = 1.1
"""Gaps at the ends of a window, in mean distances of samples, across which a rate goes on."""

Groups = dict[Labels, float]
"""A value for each combination of the labels in ``by``."""


def evaluate(
    when: Expression, comparison: Comparison, store: Store, at_ms: int, window_ms: int
) -> Groups:
    """The values of an expression; which of several levels is the worst depends on how they are
    compared."""
    match when:
        case Value():
            worst = _largest if comparison.startswith(">") else _smallest
            return _grouped(store.newest(when, at_ms), when.by, worst)
        case Rate():
            return _rates(when, when.by, store, at_ms, window_ms)
        case Ratio():
            above = _rates(when, when.by, store, at_ms, window_ms)
            below = _rates(when.of, when.by, store, at_ms, window_ms)
            return {
                labels: _divided(value, below[labels])
                for labels, value in above.items()
                if labels in below
            }
        case Quantile():
            buckets = Selector(
                metric=f"{when.metric}_bucket", labels=when.labels, matching=when.matching
            )
            rates = _rates(buckets, (*when.by, "le"), store, at_ms, window_ms)
            return _quantiles(when.quantile, rates)


def rate(points: Sequence[Point], begin_ms: int, end_ms: int) -> float | None:
    """A counter's increase a second in a window, resets forgiven; None for a single sample."""
    if len(points) < 2:
        return None
    increase = points[-1].value - points[0].value
    for before, after in itertools.pairwise(points):
        if after.value < before.value:
            increase += before.value
    sampled_s = (points[-1].at_ms - points[0].at_ms) / 1e3
    mean_s = sampled_s / (len(points) - 1)
    to_begin_s = (points[0].at_ms - begin_ms) / 1e3
    to_end_s = (end_ms - points[-1].at_ms) / 1e3
    if increase > 0 and points[0].value >= 0:
        # a counter was not below zero
        to_begin_s = min(to_begin_s, sampled_s * (points[0].value / increase))
    covered_s = sampled_s
    for gap_s in (to_begin_s, to_end_s):
        covered_s += gap_s if gap_s < mean_s * _EXTRAPOLATED else mean_s / 2
    return increase * (covered_s / sampled_s / ((end_ms - begin_ms) / 1e3))


def quantile_of(quantile: float, buckets: dict[float, float]) -> float:
    """A quantile from cumulative counts by upper bound, linear within a bucket; NaN for nothing."""
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != math.inf:
        return math.nan
    counts = list(itertools.accumulate((buckets[bound] for bound in bounds), max))
    if not counts[-1] > 0:
        return math.nan
    rank = quantile * counts[-1]
    place = next((n for n, count in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if place == len(counts) - 1:
        return bounds[-2]
    if place == 0 and bounds[0] <= 0:
        return bounds[0]
    lower, below = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    return lower + (bounds[place] - lower) * ((rank - below) / (counts[place] - below))


def _rates(
    selector: Selector, by: tuple[str, ...], store: Store, at_ms: int, window_ms: int
) -> Groups:
    found = []
    for labels, points in store.within(selector, at_ms, window_ms):
        value = rate(points, at_ms - window_ms, at_ms)
        if value is not None:
            found.append((labels, value))
    return _grouped(found, by, lambda one, other: one + other)


def _quantiles(quantile: float, rates: Groups) -> Groups:
    histograms: dict[Labels, dict[float, float]] = {}
    for labels, value in rates.items():
        told = dict(labels)
        try:
            bound = float(told.pop("le", ""))
        except ValueError:
            continue
        histograms.setdefault(tuple(told.items()), {})[bound] = value
    return {labels: quantile_of(quantile, found) for labels, found in histograms.items()}


def _grouped(
    values: Iterable[tuple[Labels, float]],
    by: tuple[str, ...],
    join: Callable[[float, float], float],
) -> Groups:
    found: Groups = {}
    for labels, value in values:
        group = tuple((name, told) for name, told in labels if name in by)
        found[group] = join(found[group], value) if group in found else value
    return found


def _largest(one: float, other: float) -> float:
    return other if other > one or math.isnan(one) else one


def _smallest(one: float, other: float) -> float:
    return other if other < one or math.isnan(one) else one


def _divided(above: float, below: float) -> float:
    if below:
        return above / below
    return math.nan if not above or math.isnan(above) else math.copysign(math.inf, above)
