"""``perflab run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand


class AssigningCommand(TyperCommand):
    """A command that takes ``-p name value``, as papermill does, beside ``-p name=value``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the two words before they are parsed."""
        joined: list[str] = []
        words = iter(args)
        for word in words:
            joined.append(word)
            name = next(words, None) if word == "-p" else None
            if name is None:
                continue
            value = next(words, None) if name.isidentifier() else None
            joined.append(name if value is None else f"{name}={value}")
        return super().parse_args(ctx, joined)


def run(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(help="Notebooks by name or path; all but 08_peers when left out."),
    ] = None,
    profile: Annotated[str, typer.Option(help="quick, standard or full.")] = "quick",
    services: Annotated[
        str, typer.Option(help="Where servers come from: auto, url, docker or embedded.")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Seeds data, parameters and block order.")] = 42,
    claims: Annotated[str, typer.Option(help="A claims file of your own.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; must be new or empty.")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("-p", help="A parameter: -p name value or -p name=value.")
    ] = None,
) -> None:
    """Run notebooks as one batch, print the scorecard and write the report."""
    # imported here: `perflab --help` should not wait for what a run needs
    from perflab.cli.checks import check_batch
    from perflab.parameters import (
        DEFAULT_NOTEBOOKS,
        notebook_name,
        parse_assignments,
        take_common,
    )

    chosen = list(dict.fromkeys(notebook_name(n) for n in notebooks or DEFAULT_NOTEBOOKS))
    common: dict[str, object] = {
        "profile": profile,
        "services": services,
        "seed": seed,
        "claims": claims,
    }
    given = parse_assignments(parameter or [], chosen)
    common |= take_common(given)  # -p seed=7 is --seed 7
    if common["claims"]:
        common["claims"] = str(Path(str(common["claims"])).resolve())
    check_batch(chosen, common, given, out)
    # imported here: the line about a mistake should not wait for pandas, matplotlib and papermill
    from perflab.cli.session import run_batch

    ok = run_batch(chosen, common, given, out)
    if not ok:
        raise typer.Exit(1)
