"""``perflab load``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from perflab.cli.console import console
from perflab.cli.load_given import Given
from perflab.cli.load_http import load_server
from perflab.cli.load_sockets import load_hub
from perflab.cli.outputs import check_output
from perflab.errors import ParameterError

if TYPE_CHECKING:
    from perflab.load.scenarios import RunSummary, Summary
    from perflab.realtime.scenarios import SocketSummary

INTERRUPTED = 130


def load(
    file: Annotated[Path, typer.Argument(help="A scenario: see docs/load.md.")],
    target: Annotated[
        str, typer.Option(help="The server, e.g. http://127.0.0.1:8000; the file's if left out.")
    ] = "",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Load a server that is not this machine.")
    ] = False,
    data: Annotated[
        list[str] | None, typer.Option(help="Rows for a feeder: --data name=FILE.csv.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds, instead of the file's.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Instead of the file's.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file.")] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="Serve /metrics of the load on 127.0.0.1 meanwhile."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1_000, help="Generators that make it together.")
    ] = None,
    scheduler: Annotated[
        str, typer.Option(help="A Dask cluster of yours to place them on: tcp://host:8786.")
    ] = "",
) -> None:
    """Put a load on a server or a hub: exit 0 if all thresholds hold, 1 if not, 2 for a mistake.

    Exit 1 also if nothing was answered.
    """
    # imported here: `perflab --help` should not wait for numpy and the engine
    from perflab.realtime.scenarios.scenario import is_websocket

    check_output("--json", json)
    check_output("--html", html)
    given = Given(
        file=file,
        target=target,
        allow_remote=allow_remote,
        data=_files(data or []),
        duration_s=duration,
        seed=seed,
    )
    summary: Summary | SocketSummary
    if is_websocket(file):
        one_alone = {"--metrics-port": metrics_port, "--workers": workers, "--scheduler": scheduler}
        for option, value in one_alone.items():
            if value:
                raise ParameterError(f"{option}: a WebSocket scenario is run by one process alone")
        summary = load_hub(given)
    else:
        summary = load_server(given, metrics_port=metrics_port, workers=workers,
                              scheduler=scheduler)  # fmt: skip

    # imported here: pandas and the like would share the generator's core
    from perflab.studies.load.page import print_summary, write_html, write_json

    print_summary(console, summary)
    for path, write in ((json, write_json), (html, write_html)):
        if path is not None:
            write(path, summary)
            console.print(f"written: {path}", soft_wrap=True)
    _conclude(summary)


def _files(given: list[str]) -> dict[str, Path]:
    files = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not equals or not path:
            raise ParameterError(f"--data {one!r}: write it as name=FILE.csv")
        files[name] = Path(path)
    return files


def _conclude(summary: RunSummary) -> None:
    """Say how it ended, and leave with the exit code for that."""
    if summary.generator.void_reason:
        console.print(f"[magenta]void[/]: {summary.generator.void_reason}", soft_wrap=True)
    if summary.ended == "aborted":
        console.print(f"[red]aborted[/]: {escape(summary.reason)}", soft_wrap=True)
    if summary.ended == "done" and not summary.answered:
        console.print(f"[red]not answered[/]: {escape(summary.target)} answered nothing")
    failed = [threshold for threshold in summary.thresholds if not threshold.holds]
    for threshold in failed:
        console.print(
            f"[red]threshold missed[/]: {escape(threshold.condition)}: {threshold.value:.4g}",
            soft_wrap=True,
        )
    if summary.ended == "interrupted":
        console.print(
            f"stopped after {summary.seconds:.1f} s; this is what was measured until then"
        )
        raise typer.Exit(INTERRUPTED)
    if not summary.passed:
        raise typer.Exit(1)
