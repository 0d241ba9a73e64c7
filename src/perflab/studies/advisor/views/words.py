"""A figure held against the study's own bar, in a word."""

from __future__ import annotations

from perflab.measure.statistics import Estimate, Interval


def word(estimate: Estimate, bar: float, *, at_least: bool) -> str:
    """``met`` or ``missed`` where all of the interval says so, else ``cannot tell``."""
    if not isinstance(estimate, Interval):
        return "cannot tell"
    holds = [value >= bar if at_least else value <= bar for value in (estimate.lo, estimate.hi)]
    return "met" if all(holds) else "cannot tell" if any(holds) else "missed"
