"""What a check costs, as a table and a plot."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from perflab.report import plots
from perflab.report.tables import Column, Table, build
from perflab.studies.limits.overhead import CALLERS, CHECK, Cost, label_of, overhead_frame


def overhead_table(costs: list[Cost]) -> Table:
    """Every way with its interval."""
    return build(
        overhead_frame(costs),
        [
            Column("way", "way"),
            Column("callers", "callers"),
            Column("us", "µs a check", 1, interval=True),
            Column("server_us", "of these in Redis's script (µs)", 1),
        ],
        title="What a check costs its caller",
        subtitle=f"One event loop; medians over the repetitions. Among {CALLERS} callers it is the"
        " time that passed divided by the number of checks.",
    )


def overhead_plot(costs: list[Cost]) -> Figure:
    """The same as bars."""
    frame = overhead_frame(costs)
    by_way = dict(zip(frame["label"], frame["us"], strict=True))
    alone, many = (by_way[label_of(CHECK, callers)] for callers in (1, CALLERS))
    known = math.isfinite(alone) and math.isfinite(many)
    return plots.bars(
        frame,
        label="label",
        value="us",
        title=f"A check: {alone:.0f} µs alone, {many:.0f} µs among {CALLERS} callers"
        if known
        else "What a check costs",
        x_label="µs a check (95 % interval)",
    )
