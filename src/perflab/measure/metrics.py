"""The metrics that a claim may name, and how each is read off a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from perflab.measure.statistics import Estimate, Interval, NotEstimable

if TYPE_CHECKING:  # it brings pandas, and a claims file is checked before anything is measured
    from perflab.measure.comparison import Comparison, Statistic

Kind = Literal["reduction", "absolute", "ratio", "value"]


class Metric(msgspec.Struct, frozen=True):
    """One metric: its unit, the statistic behind it and where the figure comes from."""

    name: str
    unit: str | None
    """None where the claim names what is counted."""
    statistic: str
    kind: Kind
    """``value`` comes from a Measurement or a count, the others also from a Comparison."""


_STATISTICS: tuple[Statistic, ...] = ("mean", "median", "p95", "p99")

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *(Metric(f"{s}_reduction_percent", "%", s, "reduction") for s in _STATISTICS),
        *(Metric(f"{s}_ms", "ms", s, "absolute") for s in _STATISTICS),
        *(Metric(f"{s}_ratio", "ratio", s, "ratio") for s in _STATISTICS),
        Metric("hit_ratio_percent", "%", "mean", "value"),
        Metric("throughput_rps", "requests/s", "mean", "value"),
        Metric("throughput_per_min", "messages/min", "mean", "value"),
        Metric("duration_s", "s", "mean", "value"),
        Metric("p95_s", "s", "p95", "value"),
        Metric("size_bytes", "bytes", "count", "value"),
        Metric("count", None, "count", "value"),
    )
}


def estimate_of(metric: Metric, comparison: Comparison) -> Estimate:
    """The metric of a comparison; absolute figures are those of the *after* arm.

    Raises a ValueError for a metric of kind ``value``, which no comparison holds.
    """
    statistic = _statistic(metric)
    if metric.kind == "absolute":
        return comparison.after.of(statistic)
    ratio = comparison.ratio.of(statistic)
    return reduction_percent(ratio) if metric.kind == "reduction" else ratio


def aa_of(metric: Metric, comparison: Comparison) -> Estimate:
    """The A/A ratio of the metric's own statistic."""
    return comparison.aa.of(_statistic(metric))


def reduction_percent(ratio: Estimate) -> Estimate:
    """100 * (1 - after/before); the interval's ends change places."""
    if isinstance(ratio, NotEstimable):
        return ratio
    return Interval(100 * (1 - ratio.estimate), lo=100 * (1 - ratio.hi), hi=100 * (1 - ratio.lo))


def _statistic(metric: Metric) -> Statistic:
    for statistic in _STATISTICS:
        if metric.kind != "value" and metric.statistic == statistic:
            return statistic
    raise ValueError(f"{metric.name} is not read off a comparison; give its estimate")
