"""Slow statements and changed plans, as tables and a plot; texts without their values."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from perflab.advisor.slow_queries import SlowQuery
from perflab.report import plots
from perflab.report.not_run import NotRun, or_not_run
from perflab.report.tables import Column, Table, build
from perflab.studies.advisor.slow import Slow

_SHOWN = 10
_WIDTH = 90
_BAR_WIDTH = 44


def slow_table(slow: Slow) -> Table:
    """The costliest statements that reach a threshold."""
    return build(
        _frame(slow.statements[:_SHOWN]),
        [
            Column("text", "statement"),
            Column("calls", "calls"),
            Column("share_percent", "of all time (%)", 1),
            Column("mean_ms", "mean (ms)", 2),
            Column("p95_ms", "p95 (ms)", 2),
            Column("rows_per_call", "rows a call", 0),
            Column("buffers_per_call", "pages a call", 0),
            Column("temp_blocks_per_call", "temporary pages", 0),
            Column("plan_summary", "plan of most calls"),
            Column("plans", "plans"),
            Column("reasons", "slow because"),
        ],
        title=f"{len(slow.statements)} statements reach a threshold",
        subtitle=f"Counted by {slow.source}. Values and comments are never shown.",
    )


def slow_plot(slow: Slow) -> Figure | NotRun:
    """Their shares of the time."""
    if not slow.statements:
        return NotRun("slow statements", "none reaches a threshold")
    frame = _frame(slow.statements[:_SHOWN])
    # numbered, since two may begin alike; a pair of $1 and $2 would be set as a formula
    begin = frame["text"].str.slice(0, _BAR_WIDTH).str.replace("$", r"\$", regex=False)
    frame["label"] = [f"{number}. {text}…" for number, text in enumerate(begin, start=1)]
    few = slow.statements[:5]
    share = sum(one.share_percent for one in few)
    return plots.bars(
        frame,
        label="label",
        value="share_percent",
        title=f"The costliest {len(few)} take {share:.0f} % of all time",
        x_label="share of all statements' time (%)",
    )


@or_not_run
def flips_table(flipped: Sequence[SlowQuery]) -> Table:
    """Statements whose plan changed while the indexes were built."""
    return build(
        _frame(flipped[:_SHOWN]),
        [
            Column("text", "statement"),
            Column("plan_before", "plan before"),
            Column("plan", "plan after"),
            Column("plan_summary", "how it reads now"),
            Column("mean_ms", "mean now (ms)", 2),
            Column("buffers_per_call", "pages a call", 0),
        ],
        title=f"{len(flipped)} plans changed with the new indexes",
        subtitle="The costliest ten at most. A plan's fingerprint changes with its shape, not"
        " with its figures.",
    )


def _frame(slow: Sequence[SlowQuery]) -> pd.DataFrame:
    columns = (
        *("calls", "total_ms", "share_percent", "mean_ms", "p95_ms", "sampled", "rows_per_call"),
        *("buffers_per_call", "temp_blocks_per_call"),
        *("plan", "plan_summary", "plans", "plan_before"),
    )
    return pd.DataFrame(
        [
            {
                "text": one.text if len(one.text) <= _WIDTH else f"{one.text[: _WIDTH - 1]}…",
                **{name: getattr(one, name) for name in columns},
                "reasons": "; ".join(one.reasons),
            }
            for one in slow
        ],
        columns=["text", *columns, "reasons"],
    )
