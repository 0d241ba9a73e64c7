"""Comparisons as rows of tidy frames: what tables and plots are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from perflab.measure.comparison import Comparison, Statistic
from perflab.measure.metrics import reduction_percent
from perflab.measure.statistics import Estimate, Interval


def triple(name: str, estimate: Estimate) -> dict[str, float]:
    """``name``, ``name_lo``, ``name_hi``; NaN where it is not estimable."""
    if isinstance(estimate, Interval):
        return {name: estimate.estimate, f"{name}_lo": estimate.lo, f"{name}_hi": estimate.hi}
    return dict.fromkeys((name, f"{name}_lo", f"{name}_hi"), math.nan)


def comparison_row(comparison: Comparison, statistic: Statistic = "mean") -> dict[str, object]:
    """Both arms in ms, the reduction in percent and the A/A ratio, each with its interval."""
    return {
        **triple("before", comparison.before.of(statistic)),
        **triple("after", comparison.after.of(statistic)),
        **triple("reduction", reduction_percent(comparison.ratio.of(statistic))),
        **triple("ratio", comparison.ratio.of(statistic)),
        **triple("aa", comparison.aa.of(statistic)),
        "n": comparison.n,
        "blocks": comparison.blocks,
    }


def comparison_frame(
    comparisons: Mapping[str, Comparison], label: str = "label", statistic: Statistic = "mean"
) -> pd.DataFrame:
    """One row a comparison, its key in the column ``label``."""
    return pd.DataFrame(
        [{label: key, **comparison_row(c, statistic)} for key, c in comparisons.items()]
    )
