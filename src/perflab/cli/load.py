"""``perflab load``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from perflab.cli.console import console
from perflab.errors import ParameterError

if TYPE_CHECKING:
    from perflab.load import LiveFigures
    from perflab.load.scenarios import Progress as State
    from perflab.load.scenarios import Run, Scenario, Summary

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
    """Put a load on an HTTP server: exit 0 if all thresholds hold, 1 if not, 2 for a mistake."""
    # imported here: `perflab --help` should not wait for numpy and the engine
    from perflab.load.reach import is_local
    from perflab.load.scenarios import load_scenario, summarise

    for option, path in (("--json", json), ("--html", html)):
        if path is not None and not path.parent.is_dir():
            raise ParameterError(f"{option} {path}: there is no folder {path.parent}")
    scenario = load_scenario(file, target=target, data=_files(data or []), duration_s=duration,
                             seed=seed)  # fmt: skip
    if not allow_remote and not is_local(scenario.target):
        raise ParameterError(
            f"{scenario.target.host} is not this machine; if its owner agrees to the load,"
            " add --allow-remote"
        )
    if workers is None and not scheduler:
        summary = summarise(_watched(scenario, metrics_port))
    elif metrics_port is not None:
        raise ParameterError("--metrics-port: the workers' figures are together only at the end")
    else:
        summary = summarise(_together(scenario, workers, scheduler))

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


def _watched(scenario: Scenario, metrics_port: int | None) -> Run:
    """Run it, with the rate and the 95th percentile of the last seconds beside a bar."""
    from perflab.load import LiveFigures

    live = LiveFigures()
    with ExitStack() as stack:
        if metrics_port is not None:
            from perflab.monitor import MetricsRegistry, served_from_thread

            registry = MetricsRegistry()
            registry.register("load", live.stats)
            url = stack.enter_context(served_from_thread(registry, port=metrics_port))
            console.print(f"metrics: {url}", soft_wrap=True)
        return _with_bar(scenario, live)


def _together(scenario: Scenario, workers: int | None, scheduler: str) -> Run:
    """Run it on the workers of a Dask cluster."""
    from perflab.load.distributed import conduct
    from perflab.load.distributed.dask_crew import crew

    with crew(scenario, workers=workers, scheduler=scheduler) as members, _bar(scenario) as show:
        return conduct(scenario, members, show)


def _with_bar(scenario: Scenario, live: LiveFigures) -> Run:
    from perflab.load.scenarios import run_scenario

    with _bar(scenario) as show:
        return run_scenario(scenario, show, live)


@contextmanager
def _bar(scenario: Scenario) -> Iterator[Callable[[State], None]]:
    """A bar, and what moves it."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        console=console,
        transient=True,
        refresh_per_second=4,
    ) as bars:
        bar = bars.add_task("setup" if scenario.setup else "start", total=scenario.duration_s)

        def show(state: State) -> None:
            bars.update(bar, completed=state.elapsed_s, description=_line(state))

        yield show


def _line(state: State) -> str:
    parts = [
        f"{min(state.elapsed_s, state.seconds):.0f} of {state.seconds:g} s",
        f"{state.rate_per_s:,.1f} requests/s",
        f"p95 {state.p95_ms:.1f} ms" if state.p95_ms == state.p95_ms else "no answer yet",
    ]
    if state.refused:
        parts.append(f"{state.refused:,} refused")
    if state.errors:
        parts.append(f"[red]{state.errors:,} errors[/]")
    return ", ".join(parts)


def _conclude(summary: Summary) -> None:
    """Say how it ended, and leave with the exit code for that."""
    if summary.generator.void_reason:
        console.print(f"[magenta]void[/]: {summary.generator.void_reason}", soft_wrap=True)
    if summary.ended == "aborted":
        console.print(f"[red]aborted[/]: {escape(summary.reason)}", soft_wrap=True)
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
