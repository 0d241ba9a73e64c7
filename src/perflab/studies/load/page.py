"""A scenario's figures in a terminal, as JSON and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import msgspec
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from perflab.errors import PerflabError
from perflab.files import write_whole
from perflab.load.scenarios import Summary
from perflab.realtime.scenarios import SocketSummary
from perflab.report.html.exhibits import exhibits_page
from perflab.report.tables import Table
from perflab.studies.load.views.sockets import deliveries_plot, latency_plot, sockets_table
from perflab.studies.load.views.summary import (
    counts_table,
    rates_plot,
    thresholds_table,
    times_plot,
    times_table,
)

AnySummary: TypeAlias = Summary | SocketSummary


class PageError(PerflabError):
    """The figures cannot be written."""


def print_summary(console: Console, summary: AnySummary) -> None:
    """The tables, in a terminal."""
    for line in lines_of(summary):
        console.print(escape(line), soft_wrap=True)
    for table in _tables(summary):
        _print_table(console, table)


def write_json(path: Path, summary: AnySummary) -> None:
    """The whole summary; a PageError where the disk does not take it."""
    _write(path, msgspec.json.format(msgspec.json.encode(summary)))


def write_html(path: Path, summary: AnySummary) -> None:
    """Tables and plots on one page; a PageError where the disk does not take it."""
    exhibits: list[Table | Figure] = [*_tables(summary), *_plots(summary)]
    _write(path, exhibits_page(summary.title, lines_of(summary), exhibits).encode())


def lines_of(summary: AnySummary) -> list[str]:
    """What was done, in words."""
    if isinstance(summary, Summary):
        who, what = f"{summary.users} users", "requests were taken up"
        warm = f", the first {summary.warmup_s:g} s not counted" if summary.warmup_s else ""
    else:
        who, what, warm = f"{summary.connections:,} connections", "messages left", ""
    lines = [
        f"{summary.title}: {summary.scenario} against {summary.target}, {who},"
        f" {summary.seconds:.4g} s of {summary.duration_s:g} s{warm}, seed {summary.seed},"
        f" {summary.began}",
        f"the generator was busy for {summary.generator.busy_share:.0%} of the time;"
        f" 99 % of the {what} within {summary.generator.late_p99_ms:.2f} ms",
    ]
    if summary.generator.workers > 1:
        lines.append(
            f"{summary.generator.workers} workers made it together; their clocks were within"
            f" {summary.generator.clocks_ms:.2f} ms of each other"
        )
    if summary.generator.void_reason:
        lines.append(f"void: {summary.generator.void_reason}")
    if summary.ended != "done":
        lines.append(f"{summary.ended} {summary.reason}".strip())
    return lines


def _tables(summary: AnySummary) -> list[Table]:
    if isinstance(summary, Summary):
        found = [counts_table(summary), times_table(summary)]
    else:
        found = [sockets_table(summary)]
    return [*found, thresholds_table(summary)] if summary.thresholds else found


def _plots(summary: AnySummary) -> list[Figure]:
    if not summary.over_time:
        return []
    if isinstance(summary, Summary):
        return [rates_plot(summary), times_plot(summary)]
    return [deliveries_plot(summary), latency_plot(summary)]


def _print_table(console: Console, table: Table) -> None:
    shown = RichTable(title=table.title, title_justify="left", header_style="bold")
    for name in table.shown.columns:
        shown.add_column(str(name), overflow="fold")
    for row in table.shown.itertuples(index=False):
        shown.add_row(*(escape(str(cell)) for cell in row))
    console.print(shown)
    if table.subtitle:
        console.print(table.subtitle, style="dim", soft_wrap=True)


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise PageError(f"{path}: cannot be written ({error.strerror})") from None
