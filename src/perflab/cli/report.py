"""``perflab report``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from perflab.cli.console import console

if TYPE_CHECKING:
    from perflab.runs import RunFolder


def report(
    name: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id or folder, or: newest.")
    ] = "newest",
) -> None:
    """Write report.html of a run anew, from the files in its folder."""
    from perflab.runs import find_run

    rebuild(find_run(name))


def rebuild(folder: RunFolder) -> None:
    """Write the report of a run, say what it had to leave out and where it is."""
    from perflab.report.html import write_report

    written = write_report(folder)
    for problem in written.problems:
        console.print(f"[yellow]left out[/]: {escape(problem)}", soft_wrap=True)
    console.print(f"report: {written.path}", soft_wrap=True)
