"""Advice as ``perflab advise`` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from perflab.cli.console import console
from perflab.cli.ddl_printed import shown_ddl

if TYPE_CHECKING:
    from perflab.advisor.advice import Advice
    from perflab.advisor.existing import Idle
    from perflab.advisor.returns import Return
    from perflab.advisor.workload import Workload
    from perflab.studies.advisor.copied import Copied

_SHOWN = 12


def print_copy(found: Copied) -> None:
    """What was copied, and where it was measured."""
    from perflab.advisor.drawn import NARROWEST, WIDEST

    extent = found.extent
    console.print(
        f"copied {extent.words} to a PostgreSQL {found.copy_version} of the lab's; the target runs"
        f" {found.target_version}",
        soft_wrap=True,
    )
    for name in sorted(extent.copied.keys() - extent.whole):
        words = f"{extent.copied[name]:,} of about {extent.there[name]:,} rows"
        console.print(f"[yellow]a sample[/]: {escape(name)}, {words}", soft_wrap=True)
    if found.passed_over:
        console.print(
            f"passed over: {found.passed_over:,} entries of the server's statistics that look up no"
            " rows of its tables (DDL, COPY, transactions, system catalogs, plain inserts)",
            soft_wrap=True,
        )
    if found.drawn:
        console.print(
            f"values were drawn from the copied rows for {len(found.drawn)} statements, since the"
            f" server keeps none; a range lets through {100 * NARROWEST:g} to {100 * WIDEST:g} % of"
            f" the rows: {escape(', '.join(found.drawn))}",
            soft_wrap=True,
        )
    for line in extent.left_out:
        console.print(f"[yellow]not in the copy[/]: {escape(line)}", soft_wrap=True)


def print_unchanged(found: Copied) -> None:
    """What the target says of itself before and after."""
    if found.verdict is None:
        console.print(
            f"[yellow]whether the target is unchanged could not be looked at[/]: {found.unseen}",
            soft_wrap=True,
        )
    else:
        console.print(escape(f"the target is {found.verdict}"), soft_wrap=True)
    console.print("the copy is deleted", soft_wrap=True)


def print_refused(read: Workload | None, unplanned: list[str]) -> None:
    """Statements left out, a line each."""
    refused = [str(one) for one in read.refused] if read else []
    for line in (*refused, *unplanned):
        console.print(f"[yellow]left out[/]: {escape(line)}", soft_wrap=True)


def print_estimate(advice: Advice) -> None:
    """The choice by the planner's costs."""
    from perflab.advisor.workload import shown

    selection = advice.selection
    before, after = selection.cost_before, selection.cost_after
    saved = 100 * (1 - after / before) if before else 0.0
    table = Table(
        title=f"{len(selection.chosen)} of {advice.candidates} candidates chosen:"
        f" {saved:.0f} % of the planner's cost gone (estimated)",
        title_justify="left",
        header_style="bold",
    )
    for heading in ("index", "saves", "size", "serves"):
        table.add_column(heading, overflow="fold")
    for choice in selection.chosen:
        table.add_row(
            escape(shown_ddl(choice.candidate, advice.catalog)),
            f"{choice.saves_percent:.1f} %",
            f"{choice.size_bytes / 1024:,.0f} KiB",
            escape(", ".join(choice.serves)),
        )
    console.print(table if selection.chosen else "the workload needs no further index")
    served = {name for choice in selection.chosen for name in choice.serves}
    for one in advice.statements:
        if one.name in served:
            what = f"{one.name} ({one.calls:,.0f} calls): {shown(one)}"
            console.print(f"  [dim]{escape(what)}[/]", soft_wrap=True)
    console.print(f"{len(selection.rejected)} candidates rejected, among them:")
    for rejected in selection.rejected[:_SHOWN]:
        what = f"{rejected.candidate.table} {rejected.candidate.on}: {rejected.reason}"
        console.print(f"  {escape(what)}", soft_wrap=True)


def print_idle(idle: tuple[Idle, ...]) -> None:
    """Indexes that are there and could go."""
    for one in idle[:_SHOWN]:
        console.print(
            f"[yellow]{one.fault}[/]: {escape(one.name)} on {escape(one.table)},"
            f" {one.size_bytes / 1024:,.0f} KiB ({escape(one.reason)}): {escape(one.ddl)};",
            soft_wrap=True,
        )


def print_returns(returns: tuple[Return, ...]) -> None:
    """Each index that is there, left out on the copy: who misses it, and what it costs."""
    for one in returns:
        who = ", ".join((*one.faster, *one.slower)) or "no statement measured"
        colour = "green" if one.finding == "earns" else "yellow"
        console.print(
            f"[{colour}]there already[/]: {escape(one.index.name)} on {escape(one.table)}:"
            f" {one.finding} ({escape(who)}), {one.index.size_bytes / 1024:,.0f} KiB,"
            f" about {max(0.0, one.wal_bytes):,.0f} B of WAL a row written",
            soft_wrap=True,
        )
