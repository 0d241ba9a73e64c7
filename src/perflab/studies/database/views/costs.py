"""What indexes cost: disk, writes and planning."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from perflab.report import plots
from perflab.report.not_run import or_not_run
from perflab.report.tables import Column, Table, build
from perflab.studies.database.arms import Arms
from perflab.studies.database.views.columns import AA, LATENCIES
from perflab.studies.database.writes import WriteCosts, index_frame


def index_table(arms: Arms) -> Table:
    """Build time, size and WAL of every index."""
    frame = index_frame(arms)
    total_mib, tables_mib = frame["size_mib"].sum(), arms.before_bytes / 2**20
    return build(
        frame,
        [
            Column("index", "index"),
            Column("serves", "serves"),
            Column("build_s", "build (s)", 2),
            Column("size_mib", "size (MiB)", 2),
            Column("wal_mib", "WAL (MiB)", 2),
        ],
        title=f"What after adds takes {total_mib:,.0f} MiB beside {tables_mib:,.0f} MiB "
        f"and {frame['build_s'].sum():.1f} s to build",
    )


@or_not_run
def writes_table(costs: WriteCosts) -> Table:
    """Slowdown, WAL and heap-only updates of each kind of write."""
    return build(
        costs.slowdown.merge(costs.wal, on="write"),
        [
            Column("write", "write"),
            *LATENCIES,
            Column("ratio", "after/before", 2, interval=True),
            AA,
            Column("wal_bytes_before", "WAL a row before (bytes)", 0),
            Column("wal_bytes_after", "WAL a row after (bytes)", 0),
            Column("hot_percent_before", "HOT before (%)", 0),
            Column("hot_percent_after", "HOT after (%)", 0),
        ],
        title="Writes of many rows in one statement",
    )


@or_not_run
def writes_plot(costs: WriteCosts) -> Figure:
    """How many times longer each write takes."""
    worst = costs.slowdown["ratio"].max()
    return plots.bars(
        costs.slowdown,
        label="write",
        value="ratio",
        title=f"Writes pay for the indexes: up to {worst:.1f} times the time",
        x_label="time with indexes / time without (1 = no cost)",
    )


def planning_table(planning: pd.DataFrame) -> Table:
    """Planning time of every query."""
    return build(
        planning,
        [
            Column("query", "query"),
            Column("before", "before (ms)", 3),
            Column("after", "after (ms)", 3),
            Column("ratio", "after/before", 2, interval=True),
        ],
        title="Planning time, as the server reports it",
        subtitle="Medians; ratios with 95 % intervals.",
    )
