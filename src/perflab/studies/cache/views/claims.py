"""The cache's claims as tables and a plot: promised beside measured, with the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from perflab.measure.claims import Claims
from perflab.measure.results import Result
from perflab.report.not_run import NotRun
from perflab.report.tables import Table
from perflab.studies.cache import verdicts
from perflab.studies.promised import plan_view, promise_plot, verdict_view


def plan_table(results: Sequence[Result], claims: Claims) -> Table | NotRun:
    """The plan's table of caches."""
    return plan_view(
        verdicts.plan_frame(results, claims),
        "Caching performance metrics: claimed and measured",
        "With 95 % intervals. Counts have none.",
    )


def verdict_table(results: Sequence[Result], claims: Claims) -> Table | NotRun:
    """Every claim of the notebook."""
    return verdict_view(verdicts.verdict_frame(results, claims), "caches")


def hit_plot(results: Sequence[Result], claims: Claims) -> Figure | NotRun:
    """Measured hit ratios beside the promised ones."""
    frame = verdicts.verdict_frame(results, claims)
    ratios = frame[(frame["unit"] == "%") & frame["claim"].str.endswith(".hit_ratio")]
    return promise_plot(ratios, "hit ratios", "are met", "hits (%)")
