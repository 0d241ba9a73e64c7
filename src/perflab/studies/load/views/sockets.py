"""A WebSocket scenario's figures as tables and plots."""

from __future__ import annotations

import msgspec
import pandas as pd
from matplotlib.figure import Figure

from perflab.realtime.scenarios import SocketSummary
from perflab.report import plots
from perflab.report.tables import Column, Table, build
from perflab.studies.load.views.summary import TIMES

Row = tuple[str, float | str, str]
"""What, how much, and in which unit."""


def sockets_table(summary: SocketSummary, *more: Row) -> Table:
    """Connections, messages and deliveries; and whatever else is known of them."""
    total = summary.total
    times = msgspec.structs.asdict(total.latency)
    errors = ", ".join(f"{count} {kind}" for kind, count in total.errors.items())
    rows: list[Row] = [
        ("connections asked for", summary.connections, ""),
        ("open at once, none lost", total.connections, ""),
        ("until all were subscribed", total.opening_s, "s"),
        ("errors", errors or "none", ""),
        ("messages published", total.published, f"in {summary.seconds:.4g} s"),
        ("deliveries due", total.expected, ""),
        ("of them missing", total.missing, ""),
        ("of them twice", total.duplicates, ""),
        *((f"latency, {name.removesuffix('_ms')}", times[name], "ms") for name in TIMES),
        *more,
    ]
    return build(
        pd.DataFrame(rows, columns=["what", "figure", "unit"], dtype=object),
        [Column("what", "what"), Column("figure", "figure"), Column("unit", "unit")],
        title=f"{summary.connections:,} WebSocket connections",
        subtitle="Latency counts from the moment at which a message was due to be published, of"
        f" each delivery. {summary.channels} channels, messages of {summary.message_bytes} bytes in"
        f" the {summary.lane} lane.",
    )


def seconds_frame(summary: SocketSummary) -> pd.DataFrame:
    """One row a second of the run."""
    columns = ["at_s", "due", "delivered", "p50_ms", "p95_ms"]
    rows = [msgspec.structs.asdict(second) for second in summary.over_time]
    return pd.DataFrame(rows, columns=columns)


def deliveries_plot(summary: SocketSummary) -> Figure:
    """Messages due and deliveries in every second."""
    names = {"due": "messages due", "delivered": "deliveries"}
    return plots.curves(
        _melted(summary, names),
        x="at_s",
        y="value",
        hue="what",
        title="Messages and deliveries of every second",
        x_label="seconds since the start",
        y_label="a second",
    )


def latency_plot(summary: SocketSummary) -> Figure:
    """Median and 95th percentile of every second."""
    return plots.curves(
        _melted(summary, {"p50_ms": "median", "p95_ms": "95th percentile"}),
        x="at_s",
        y="value",
        hue="what",
        title="Latency of every second's messages",
        x_label="seconds since the start",
        y_label="ms",
    )


def _melted(summary: SocketSummary, names: dict[str, str]) -> pd.DataFrame:
    frame = seconds_frame(summary).melt(id_vars="at_s", value_vars=list(names), var_name="what")
    frame["what"] = frame["what"].map(names)
    return frame
