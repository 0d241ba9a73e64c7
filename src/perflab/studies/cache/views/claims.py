"""The cache's claims as tables and a plot: promised beside measured, with the verdict."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from perflab.measure.claims import Claims
from perflab.measure.results import Result
from perflab.report import plots
from perflab.report.not_run import NotRun
from perflab.report.tables import Column, Table, build
from perflab.studies.cache import verdicts
from perflab.studies.promised import JUDGED

_LABEL = 30
"""Characters of a plot's label; a claim that is a whole sentence is named by its id."""


def plan_table(results: Sequence[Result], claims: Claims) -> Table | NotRun:
    """The plan's table of caches."""
    frame = verdicts.plan_frame(results, claims)
    if frame.empty:
        return NotRun("the plan's table of caches", "the claims file has no such table")
    return build(
        frame,
        JUDGED,
        title="Caching performance metrics: claimed and measured",
        subtitle="With 95 % intervals. Counts have none.",
    )


def verdict_table(results: Sequence[Result], claims: Claims) -> Table | NotRun:
    """Every claim of the notebook."""
    frame = verdicts.verdict_frame(results, claims)
    if frame.empty:
        return NotRun("verdicts", "no claim about caches is judged here")
    return build(frame, [Column("claim", "claim"), *JUDGED], title="Every claim judged here")


def hit_plot(results: Sequence[Result], claims: Claims) -> Figure | NotRun:
    """Measured hit ratios beside the promised ones."""
    frame = verdicts.verdict_frame(results, claims)
    judged = frame[(frame["unit"] == "%") & frame["claim"].str.endswith(".hit_ratio")]
    judged = judged.dropna(subset=["measured"])
    if judged.empty:
        return NotRun("hit ratios promised and measured", "no claimed hit ratio was measured")
    held = int((judged["verdict"] == "met").sum())
    return plots.verdicts(
        pd.DataFrame(
            {
                "label": judged["what"].where(judged["what"].str.len() <= _LABEL, judged["claim"]),
                "estimate": judged["measured"],
                "lo": judged["measured_lo"],
                "hi": judged["measured_hi"],
                "claimed": judged["claimed"],
                "verdict": judged["verdict"],
            }
        ),
        title=f"{held} of {len(judged)} promised hit ratios are met",
        x="hits (%)",
    )
