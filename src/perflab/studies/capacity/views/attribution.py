"""Where the time of every load went, as a table and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from perflab.report import plots
from perflab.report.style import SERIES
from perflab.report.tables import Column, Table, build
from perflab.studies.capacity.ladder import Ladder, ladder_frame
from perflab.studies.capacity.steps import OpenStep, steps_frame

_PARTS: Final = {"server": "the server", "postgres": "PostgreSQL", "redis": "Redis"}
_IDLE: Final = "idle, or of others"


def attribution_table(ladder: Ladder, steps: Sequence[OpenStep]) -> Table:
    """Every concurrency and every step: whose time it was, and who waited for what."""
    frame = _loads(ladder, steps)
    return build(
        frame.assign(hit_percent=100 * frame["hit_ratio"], waited_percent=100 * frame["waited"]),
        [
            Column("load", "load"),
            Column("server", "CPU of the server", 2),
            Column("postgres", "of PostgreSQL", 2),
            Column("redis", "of Redis", 2),
            Column("generator", "of the generator", 2),
            Column("lag_ms", "event loop late (ms)", 1),
            Column("pool_ms", "an answer waits for the pool (ms)", 2),
            Column("postgres_ms", "is in statements (ms)", 2),
            Column("redis_ms", "in commands (ms)", 3),
            Column("hit_percent", "cache hits (%)", 1),
            Column("waited_percent", "checkouts that wait (%)", 1),
            Column("bottleneck", "held up by"),
        ],
        title="Where the time went",
        subtitle="CPU as shares of one core, which server, PostgreSQL and Redis have together; the"
        " generator has another. Statements and commands by the stores' own clocks, in which a"
        " process that waits for the core goes on counting.",
    )


def attribution_plot(ladder: Ladder, steps: Sequence[OpenStep]) -> Figure:
    """Whose the core was in each load."""
    frame = _loads(ladder, steps)
    shown = frame[["load", *_PARTS]].rename(columns=_PARTS)
    shown[_IDLE] = (1 - frame[list(_PARTS)].sum(axis=1)).clip(lower=0)
    sums = frame[list(_PARTS)].sum()
    most = _PARTS[str(sums.idxmax())]
    return plots.stacked(
        shown,
        label="load",
        title=f"The core works for {most}: {sums.max() / sums.sum():.0%} of what is worked on it",
        x_label="share of the one core",
        colours=dict(zip(_PARTS.values(), SERIES, strict=False)),
    )


def _loads(ladder: Ladder, steps: Sequence[OpenStep]) -> pd.DataFrame:
    closed, opened = ladder_frame(ladder), steps_frame(steps)
    closed["load"] = [f"{users:,} user{'s' if users > 1 else ''}" for users in closed["users"]]
    opened["load"] = [f"{rate:,.0f} arrivals/s" for rate in opened["rate_rps"]]
    return pd.concat([closed, opened], ignore_index=True)
