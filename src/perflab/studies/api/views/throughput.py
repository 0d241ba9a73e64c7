"""The whole stack at its limit, and latency over time below it."""

from __future__ import annotations

from matplotlib.figure import Figure

from perflab.measure.statistics import Interval
from perflab.report import plots
from perflab.report.tables import Column, Table, build
from perflab.studies.api.ceiling import CONNECTIONS
from perflab.studies.api.steady import RATE_RPS, Steady
from perflab.studies.api.throughput import Throughput, throughput_frame


def throughput_table(found: Throughput) -> Table:
    """Closed loops and open arrivals, with CPU shares."""
    return build(
        throughput_frame(found),
        [
            Column("what", "requests"),
            Column("per_s", "answers/s", 0, interval=True),
            Column("median", "median (ms)", 2, interval=True),
            Column("p99", "p99 (ms)", 2, interval=True),
            Column("answers", "good answers"),
            Column("others", "others"),
            Column("server", "server", 2),
            Column("redis", "Redis", 2),
            Column("postgres", "PostgreSQL", 2),
            Column("generator", "generator", 2),
            Column("void", "void because"),
        ],
        title=f"Cached reads over {CONNECTIONS} connections, {found.identities:,} identities",
        subtitle="Good: 200 with body and ETag, or 304 where that is the row. Shares of a core:"
        " server, Redis and PostgreSQL have one together, the generator has another."
        f" The bare framework answers {found.overhead:.1f} times as many pages.",
    )


def steady_plot(steady: Steady) -> Figure:
    """Latency over time."""
    drift = steady.drift_percent()
    told = ""
    if isinstance(drift, Interval):
        told = f"; median {drift.estimate:+.0f} % [{drift.lo:+.0f}, {drift.hi:+.0f}]"
    return plots.curves(
        steady.frame(),
        x="at_s",
        y="ms",
        hue="statistic",
        title=f"Latency at {RATE_RPS:,.0f}/s: {steady.finding}{told}",
        x_label="seconds since the start",
        y_label="latency (ms)",
    )
