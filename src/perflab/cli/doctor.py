"""``perflab doctor``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from perflab.cli.console import console


def doctor(
    clean: Annotated[
        bool, typer.Option("--clean", help="Delete the cache of loaded data.")
    ] = False,
) -> None:
    """Say what the lab would use here, what is wrong, and what to do about it."""
    from perflab.doctor import clean_cache, examine

    if clean:
        console.print(clean_cache(), soft_wrap=True)
        return
    findings = examine()
    for finding in findings:
        mark = "[green]ok  [/]" if finding.ok else "[yellow]look[/]"
        console.print(f"{mark} [bold]{finding.subject}[/]: {escape(finding.state)}", soft_wrap=True)
        if finding.advice:
            console.print(f"     {escape(finding.advice)}", soft_wrap=True)
