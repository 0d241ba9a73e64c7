"""The plan's table of endpoints: at its rates, and how far each category goes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from perflab.report import plots
from perflab.report.tables import Column, Table, build
from perflab.studies.api.loads import PATIENCE_S
from perflab.studies.api.rows import Row, probes_frame, rows_frame
from perflab.studies.promised import kept

_SHARES = (
    Column("server", "server", 2),
    Column("postgres", "PostgreSQL", 2),
    Column("redis", "Redis", 2),
    Column("generator", "generator", 2),
)


def rows_table(rows: Sequence[Row]) -> Table:
    """Latency at the plan's rate."""
    frame = rows_frame(rows)
    repetitions = len(rows[0].loads) if rows else 0
    return build(
        frame,
        [
            Column("category", "category"),
            Column("rate_rps", "rate (1/s)", 0),
            Column("promised_ms", "promised average (ms)", 0),
            Column("mean", "average (ms)", 1, interval=True),
            Column("median", "median (ms)", 1, interval=True),
            Column("p95", "p95 (ms)", 1, interval=True),
            Column("p99", "p99 (ms)", 1, interval=True),
            Column("n", "requests"),
            Column("refused", "without a good answer"),
            Column("void", "void because"),
        ],
        title="Each category at the plan's rate",
        subtitle=f"Open Poisson arrivals, latency from the schedule. Average: {repetitions}"
        f" independent repetitions. A request without a good answer counts as {PATIENCE_S:g} s.",
    )


def asked_table(rows: Sequence[Row]) -> Table:
    """What the requests are, and who used how much of a core."""
    return build(
        rows_frame(rows),
        [Column("category", "category"), Column("about", "requests"), *_SHARES],
        title="What was asked, and who worked for it",
        subtitle="Shares of one core at the plan's rate; the generator has a core of its own.",
    )


def reach_table(rows: Sequence[Row]) -> Table:
    """The highest rates at which the promised average holds, and p95 under the same bound."""
    frame = rows_frame(rows)
    shown = pd.DataFrame(
        {
            **{name: frame[name] for name in ("category", "rate_rps", "promised_ms", "limit")},
            "mean": [
                _bracket(*two) for two in zip(frame.mean_held, frame.mean_failed, strict=True)
            ],
            "p95": [_bracket(*two) for two in zip(frame.p95_held, frame.p95_failed, strict=True)],
        }
    )
    return build(
        shown,
        [
            Column("category", "category"),
            Column("rate_rps", "promised rate (1/s)", 0),
            Column("promised_ms", "promised average (ms)", 0),
            Column("mean", "average holds up to (1/s)"),
            Column("p95", "p95 holds up to (1/s)"),
            Column("limit", "ended by"),
        ],
        title="How far each category goes",
        subtitle="Held at the first rate and failed at the second. A load also fails when"
        " requests come faster than they are answered.",
    )


def reach_plot(rows: Sequence[Row]) -> Figure:
    """Average latency against the rate, a curve a category; none where it is void."""
    frame = probes_frame(rows)
    void = [row.traffic.label for row in rows if row.void]
    good = frame[(frame["void"] == "") & ~frame["category"].isin(void)]
    return plots.curves(
        good.groupby(["category", "rate_rps"], sort=False)[["mean_ms"]].mean().reset_index(),
        x="rate_rps",
        y="mean_ms",
        hue="category",
        log="xy",
        title=kept(map(_word, rows), "categories keep the promised average at the promised rate"),
        x_label="arrivals (1/s)",
        y_label="average latency (ms)",
    )


def _word(row: Row) -> str:
    found = row.by_mean
    if row.void:
        return "void"
    if found.lower >= row.rate_rps:
        return "met"
    return "void" if found.failed is not None and found.failed.void else "missed"


def _bracket(held: float, failed: float) -> str:
    if not held:
        return "at none tried"
    return f"{held:,.0f}" if failed == float("inf") else f"{held:,.0f} … {failed:,.0f}"
