"""What was promised beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.figure import Figure

from perflab.measure.claims import Claims
from perflab.measure.results import Result
from perflab.report import plots
from perflab.report.not_run import NotRun
from perflab.report.tables import Column, Table, build
from perflab.studies.database import verdicts
from perflab.studies.database.views.columns import AA, LATENCIES
from perflab.studies.promised import kept

_NO_CLAIM = "no claim about an improvement is judged here; --claims FILE names your own"


def plan_table(results: Iterable[Result], claims: Claims) -> Table | NotRun:
    """The plan's improvement table, claimed beside measured."""
    frame = verdicts.plan_table(results, claims)
    if frame.empty:
        return NotRun("improvements claimed and measured", _NO_CLAIM)
    return build(
        frame,
        [
            Column("row", "category"),
            Column("claimed_before", "claimed before (ms)", 0),
            Column("claimed_after", "claimed after (ms)", 0),
            Column("claimed", "claimed (%)", 0),
            *LATENCIES,
            Column("measured", "faster by (%)", 1, interval=True),
            AA,
            Column("verdict", "verdict"),
        ],
        title="Database performance improvements: claimed and measured",
        subtitle="Means with 95 % intervals. An A/A interval that misses 1 makes a verdict "
        "'cannot tell'.",
    )


def verdict_table(results: Iterable[Result], claims: Claims) -> Table | NotRun:
    """Every claim judged so far, whatever its metric."""
    frame = verdicts.verdict_frame(results, claims)
    if frame.empty:
        return NotRun("verdicts", _NO_CLAIM)
    return build(
        frame,
        [
            Column("claim", "claim"),
            Column("promise", "promised"),
            Column("measured", "measured", interval=True),
            Column("unit", "unit"),
            Column("verdict", "verdict"),
            Column("reason", "reason"),
        ],
        title="Every claim judged here",
    )


def verdict_plot(results: Iterable[Result], claims: Claims) -> Figure | NotRun:
    """Measured improvement beside the promised one."""
    frame = verdicts.verdict_frame(results, claims)
    if frame.empty or not (frame["unit"] == "%").any():
        return NotRun("improvements promised and measured", _NO_CLAIM)
    frame = frame[frame["unit"] == "%"].rename(
        columns={"row": "label", "measured": "estimate", "measured_lo": "lo", "measured_hi": "hi"}
    )
    return plots.verdicts(
        frame,
        title=kept(frame["verdict"], "promised improvements are met at this size"),
        x="mean latency lower than before by (%)",
    )
