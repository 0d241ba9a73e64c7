"""``perflab compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from perflab.cli.console import console
from perflab.cli.outputs import check_output, write_output

if TYPE_CHECKING:
    from perflab.studies.regression import Order


def compare(
    run: Annotated[str, typer.Argument(help="The run to judge: its id, its folder, or: newest.")],
    base: Annotated[str, typer.Argument(help="The run to judge it against.")],
    tolerance: Annotated[
        float, typer.Option(min=0, help="Percentage by which after/before may get worse.")
    ] = 50.0,
    absolute: Annotated[
        float | None,
        typer.Option(min=0, help="Let times and rates fail too, beyond this percentage."),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", "--out", help="Write it to this file as well.")
    ] = None,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Rerun what got worse; fail on what does so again.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Compare other machines, rungs, profiles and seeds.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Print every figure.")] = False,
) -> None:
    """Say whether a run is worse than a base run: exit 0 if not, 1 if it is, 2 for a mistake."""
    from perflab.measure.regression import Tolerances
    from perflab.report.regression import comparison_markdown, print_comparison
    from perflab.studies import regression as study

    check_output("--markdown", markdown, makes_folder=True)
    this, that = study.read_run(run), study.read_run(base)
    report = study.compare(
        this,
        that,
        tolerances=Tolerances(ratio=tolerance, absolute=absolute),
        force=force,
    )
    for remark in report.remarks:
        console.print(f"[yellow]{escape(remark)}[/]", soft_wrap=True)
    if confirm:
        report = study.confirm(report, this, that, _run_again)
    again = report.seen_again if report.again else None
    print_comparison(console, report.first, every=every, again=again)
    console.print(escape(report.conclusion), soft_wrap=True)
    if markdown is not None:
        page = comparison_markdown(report.conclusion, report.first, report.remarks, again=again)
        write_output("--markdown", markdown, page)
    if report.failing:
        raise typer.Exit(1)


def _run_again(order: Order) -> None:
    from perflab.cli.session import run_batch

    for reason in order.reasons:
        console.print(f"suspected: {escape(reason)}", soft_wrap=True)
    console.print(f"running {', '.join(order.notebooks)} again into {order.folder}", soft_wrap=True)
    run_batch(list(order.notebooks), order.common, order.notebooks, order.folder)
