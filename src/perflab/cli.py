"""The command line: ``perflab run`` and ``perflab doctor``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from perflab import __version__
from perflab.errors import PerflabError

if TYPE_CHECKING:
    from perflab.parameters import Common
    from perflab.profiles import Profile

app = typer.Typer(
    help="A performance lab in notebooks: promised figures, measured on real servers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        console.print(f"perflab {__version__}")
        raise typer.Exit


@app.command()
def run(
    notebooks: Annotated[
        list[str] | None, typer.Argument(help="Notebooks by name or path; all when left out.")
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
        list[str] | None, typer.Option("-p", help="A notebook parameter as name=value.")
    ] = None,
) -> None:
    """Run notebooks as one batch and print the scorecard."""
    # imported here: `perflab --help` should not wait for pandas and papermill
    from perflab.parameters import NOTEBOOKS, notebook_name, parse_assignments

    chosen = (
        list(dict.fromkeys(notebook_name(n) for n in notebooks)) if notebooks else list(NOTEBOOKS)
    )
    common = {"profile": profile, "services": services, "seed": seed, "claims": claims}
    if claims:
        common["claims"] = str(Path(claims).resolve())
    ok = _run_batch(chosen, common, parse_assignments(parameter or [], chosen), out)
    if not ok:
        raise typer.Exit(1)


def _run_batch(
    chosen: Sequence[str],
    common: dict[str, object],
    given: dict[str, dict[str, object]],
    out: Path | None,
) -> bool:
    from perflab.batch import (
        Deadline,
        checked_parameters,
        kernel_environment,
        run_notebook,
    )
    from perflab.measure.claims import load_claims
    from perflab.measure.results import read_results
    from perflab.profiles import load_profile
    from perflab.report.console import print_scorecard
    from perflab.runs import check_out, new_run
    from perflab.studies.scorecard import scorecard

    parameters = checked_parameters(chosen, common, given)
    first = parameters[chosen[0]]
    profile = load_profile(first.profile)
    plan = load_claims(Path(first.claims) if first.claims else None)
    check_out(out)
    deadline = Deadline(profile.deadline_s)
    with ExitStack() as stack:
        bars = stack.enter_context(_bars())
        shared = None
        if any(p.servers for p in parameters.values()):
            shared = _share_servers(stack, bars, first, profile)
        folder = new_run(profile.name, out)
        stack.enter_context(kernel_environment(folder, shared))
        outcomes = []
        for name in chosen:
            bar = bars.add_task(name, total=1)
            outcome = run_notebook(
                name,
                {**common, **given[name]},
                folder,
                deadline=deadline,
                on_cell=_cell_reporter(bars, bar, name),
            )
            outcomes.append(outcome)
            bars.remove_task(bar)
            mark = "[green]done[/]  " if outcome.ok else "[red]FAILED[/]"
            bars.console.print(f"{mark} {name}  {outcome.seconds:.0f} s")
            if not outcome.ok:
                bars.console.print(f"       [red]{escape(outcome.failure)}[/]", soft_wrap=True)
    found = {
        r.claim: r
        for p in sorted(folder.results.glob("*.json"))
        for r in read_results(p)
        if r.claim
    }
    print_scorecard(console, scorecard(plan, found))
    console.print(f"run: {folder.path}", soft_wrap=True)
    return all(outcome.ok for outcome in outcomes)


def _share_servers(stack: ExitStack, bars: Progress, parameters: Common, profile: Profile) -> Path:
    """Open the servers until ``stack`` ends and load the data; the file to attach by."""
    from perflab.datasets import Datasets
    from perflab.lab import start_services

    bar = bars.add_task("servers", total=None)
    servers = stack.enter_context(start_services(parameters.services, profile, parameters.seed))
    for note in servers.notes:
        bars.console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
    Datasets(servers.postgres, profile, parameters.seed).load(
        lambda what, done, total: bars.update(
            bar, description=f"loading data: {what}", completed=done, total=total
        )
    )
    bars.remove_task(bar)
    return servers.share()


def _cell_reporter(bars: Progress, bar: TaskID, name: str) -> Callable[[int, int, str], None]:
    def report(done: int, total: int, heading: str) -> None:
        bars.update(bar, completed=done, total=total, description=f"{name}: {heading}")

    return report


def _bars() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


@app.command()
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


def _terminate(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """The ``perflab`` command: a person's mistake ends in one line and exit code 2."""
    # `kill` must close the servers as Ctrl-C does
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(standalone_mode=True)
    except PerflabError as error:
        console.print(f"[red]{type(error).__name__}[/]: {escape(str(error))}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("stopped; the servers are down and what was measured is kept")
        sys.exit(130)
