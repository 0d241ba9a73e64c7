"""``perflab advise``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer
from rich.markup import escape
from rich.table import Table

from perflab.cli.console import console, progress_bars
from perflab.errors import ParameterError

if TYPE_CHECKING:
    from perflab.advisor.advice import Advice
    from perflab.advisor.existing import Idle
    from perflab.advisor.selection import Limits
    from perflab.advisor.workload import Workload
    from perflab.parameters import RungChoice
    from perflab.studies.advisor.files import Measured

_SHOWN = 12


def advise(
    workload: Annotated[
        Path | None,
        typer.Option(help="SQL statements; `-- calls: 120` before one says how often it runs."),
    ] = None,
    services: Annotated[
        str, typer.Option(help="Where the lab's servers come from: auto, url, docker or embedded.")
    ] = "auto",
    profile: Annotated[str, typer.Option(help="quick, standard or full: how much data.")] = "quick",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seeds the data.")] = 42,
    per_table: Annotated[
        int, typer.Option(min=1, help="The most indexes on one table, those there included.")
    ] = 10,
    max_mib: Annotated[
        float, typer.Option(min=0, help="The most MiB of new indexes together; 0: no limit.")
    ] = 0.0,
    out: Annotated[Path | None, typer.Option(help="Write the DDL to this file.")] = None,
) -> None:
    """Advise on indexes: measured on a copy of the lab's schema, or estimated for your server.

    With PERFLAB_TARGET_URL set, that database is advised on: only its catalogs and statistics
    are read and plain EXPLAIN is run, in read-only transactions; without --workload its own
    pg_stat_statements says what runs there. Exit code 2 for a mistake.
    """
    # imported here: `perflab --help` should not wait for the parser and numpy
    from perflab.advisor.selection import Limits
    from perflab.advisor.target import VARIABLE
    from perflab.advisor.workload import read_workload
    from perflab.parameters import RungChoice

    if services not in get_args(RungChoice):
        known = ", ".join(get_args(RungChoice))
        raise ParameterError(f"services={services!r} is unknown; choose one of {known}")
    if out is not None and not out.parent.is_dir():
        raise ParameterError(f"--out {out}: there is no folder {out.parent}")
    limits = Limits(per_table=per_table)
    if max_mib:
        limits = Limits(per_table=per_table, total_bytes=round(max_mib * 2**20))
    read = read_workload(workload) if workload is not None else None
    target = os.environ.get(VARIABLE, "").strip()
    if target:
        ddl = _on_target(target, read, limits)
    else:
        ddl = _on_lab(read, cast("RungChoice", services), profile, seed, limits)
    if out is not None:
        out.write_text("".join(f"{line};\n" for line in ddl), encoding="utf-8")
        console.print(f"written: {out}", soft_wrap=True)


def _on_target(url: str, read: Workload | None, limits: Limits) -> list[str]:
    """Estimated advice for the user's own database."""
    from perflab.advisor.target import advise_target

    found = advise_target(url, read.statements if read else None, limits)
    _print_refused(read, [str(one) for one in found.unplanned])
    _print_estimate(found.advice)
    _print_idle(found.advice.idle)
    console.print(
        "[yellow]estimated, not measured[/]: nothing was run or changed on the server;"
        " try the statements on a copy first",
        soft_wrap=True,
    )
    return [one.candidate.spec().ddl for one in found.advice.selection.chosen]


def _on_lab(
    read: Workload | None, services: RungChoice, profile: str, seed: int, limits: Limits
) -> list[str]:
    """Advice on the lab's own schema, measured on copies."""
    from perflab.datasets import Datasets, shared_buffers_mb, template_name
    from perflab.profiles import load_profile
    from perflab.services import PostgresSettings, open_services
    from perflab.studies.advisor.files import advise_and_prove

    sizes = load_profile(profile)
    settings = PostgresSettings(shared_buffers_mb=shared_buffers_mb(sizes))
    template = template_name(sizes, seed)
    with open_services(services, settings=settings, template=template, only=["postgres"]) as opened:
        for note in opened.notes:
            console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
        datasets = Datasets(opened.postgres, sizes, seed)
        try:
            with progress_bars() as bars:
                bar = bars.add_task("data", total=None)

                def step(what: str, done: int, total: int) -> None:
                    bars.update(bar, description=what or "advice", completed=done, total=total)

                datasets.load(step)
                statements = read.statements if read else None
                found = advise_and_prove(datasets, sizes.advisor, seed, statements, limits, step)
        finally:
            datasets.close()
    _print_refused(read, [str(one) for one in found.unplanned])
    _print_estimate(found.advice)
    _print_proof(found)
    _print_idle(found.advice.idle)
    return [one.choice.candidate.spec().ddl for one in found.proof.kept] if found.proof else []


def _print_refused(read: Workload | None, unplanned: list[str]) -> None:
    refused = [str(one) for one in read.refused] if read else []
    for line in (*refused, *unplanned):
        console.print(f"[yellow]left out[/]: {escape(line)}", soft_wrap=True)


def _print_estimate(advice: Advice) -> None:
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
            escape(choice.candidate.spec().ddl),
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


def _print_proof(found: Measured) -> None:
    proof = found.proof
    for one in found.untimed:
        console.print(f"[yellow]not measured[/]: {escape(str(one))}", soft_wrap=True)
    if proof is None:
        return
    table = Table(
        title=f"measured on a copy: {proof.reduction_percent:.0f} % less time for the workload",
        title_justify="left",
        header_style="bold",
    )
    for heading in ("statement", "before (ms)", "after (ms)", "after/before [95 % interval]"):
        table.add_column(heading, overflow="fold")
    for name, comparison in proof.by_statement.items():
        table.add_row(escape(name), *found.cells(comparison))
    console.print(table)
    for cost in proof.writes:
        _before, _after, ratio = found.cells(cost.comparison)
        console.print(
            f"writers of {cost.table} take {ratio} of the time, {cost.wal_after:,.0f} B of WAL a"
            f" row instead of {cost.wal_before:,.0f}",
            soft_wrap=True,
        )
    for dropped in proof.dropped:
        what = f"{dropped.candidate.table} {dropped.candidate.on}: {dropped.reason}"
        console.print(f"[yellow]dropped[/]: {escape(what)}", soft_wrap=True)
    for kept in proof.kept:
        ddl = escape(kept.choice.candidate.spec().ddl)
        console.print(f"[green]proved[/]: {ddl};", soft_wrap=True)


def _print_idle(idle: tuple[Idle, ...]) -> None:
    for one in idle[:_SHOWN]:
        console.print(
            f"[yellow]{one.fault}[/]: {escape(one.name)} on {escape(one.table)},"
            f" {one.size_bytes / 1024:,.0f} KiB ({escape(one.reason)}): {escape(one.ddl)};",
            soft_wrap=True,
        )
