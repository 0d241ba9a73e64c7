"""One batch as a person sees it: servers, notebooks one by one, the scorecard, the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress, TaskID

from perflab.batch import Deadline, kernel_environment, run_notebook
from perflab.cli.checks import check_batch
from perflab.cli.console import console, progress_bars
from perflab.cli.report import rebuild
from perflab.datasets import Datasets
from perflab.errors import PerflabError
from perflab.lab import check_rung, start_services
from perflab.measure.results import read_results
from perflab.measure.speed import read_speed
from perflab.parameters import Common
from perflab.profiles import Profile
from perflab.report.console import print_scorecard
from perflab.runs import Journal, RunFolder, new_run
from perflab.studies.scorecard import scorecard


def run_batch(
    chosen: Sequence[str],
    common: dict[str, object],
    given: dict[str, dict[str, object]],
    out: Path | None,
) -> bool:
    """Run the notebooks on shared servers, print the scorecard, write the report.

    ``common`` goes to every notebook, ``given`` to each its own. True when every cell ran.
    """
    checked = check_batch(chosen, common, given, out)
    parameters, profile = checked.parameters, checked.profile
    first = parameters[chosen[0]]
    deadline = Deadline(profile.deadline_s)
    folder: RunFolder | None = None
    try:
        with ExitStack() as stack:
            bars = stack.enter_context(progress_bars())
            notes: tuple[str, ...] = ()
            shared = None
            if any(p.servers for p in parameters.values()):
                load = any(p.lab_data for p in parameters.values())
                shared, notes = _share_servers(stack, bars, first, profile, load=load)
            folder = new_run(profile.name, out)
            folder.keep_claims(first.claims)
            stack.enter_context(kernel_environment(folder, shared))
            journal = Journal(folder, common, {name: given[name] for name in chosen}, notes)
            with journal:
                for name in chosen:
                    _run_one(name, {**common, **given[name]}, folder, deadline, journal, bars)
    except (KeyboardInterrupt, PerflabError):
        if folder is not None:
            rebuild(folder)
        raise
    found = {
        r.claim: r
        for p in sorted(folder.results.glob("*.json"))
        for r in read_results(p)
        if r.claim
    }
    print_scorecard(console, scorecard(checked.plan, found))
    if folder.speed.exists():
        for sentence in read_speed(folder.speed).warnings:
            console.print(f"[yellow]{escape(sentence)}[/]", soft_wrap=True)
    console.print(f"run: {folder.path}", soft_wrap=True)
    rebuild(folder)
    return journal.manifest.status == "done"


def _run_one(
    name: str,
    parameters: dict[str, object],
    folder: RunFolder,
    deadline: Deadline,
    journal: Journal,
    bars: Progress,
) -> None:
    """Run one notebook, enter it in the journal and print how it ended."""
    bar = bars.add_task(name, total=1)
    journal.starts(name)
    outcome = run_notebook(
        name, parameters, folder, deadline=deadline, on_cell=_cell_reporter(bars, bar, name)
    )
    journal.ends(name, outcome.seconds, outcome.failure)
    bars.remove_task(bar)
    mark = "[green]done[/]  " if outcome.ok else "[red]FAILED[/]"
    bars.console.print(f"{mark} {name}  {outcome.seconds:.0f} s")
    if not outcome.ok:
        bars.console.print(f"       [red]{escape(outcome.failure)}[/]", soft_wrap=True)


def _share_servers(
    stack: ExitStack, bars: Progress, parameters: Common, profile: Profile, *, load: bool
) -> tuple[Path, tuple[str, ...]]:
    """Open the servers until ``stack`` ends and load the data: the file to attach by, the notes.

    Without ``load`` the lab's own data is left out: no notebook of the run needs it.
    """
    bar = bars.add_task("servers", total=None)
    servers = stack.enter_context(start_services(parameters.services, profile, parameters.seed))
    check_rung(parameters, servers.postgres)
    for note in servers.notes:
        bars.console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
    if load:
        Datasets(servers.postgres, profile, parameters.seed).load(
            lambda what, done, total: bars.update(
                bar, description=f"loading data: {what}", completed=done, total=total
            )
        )
    bars.remove_task(bar)
    return servers.share(), tuple(servers.notes)


def _cell_reporter(bars: Progress, bar: TaskID, name: str) -> Callable[[int, int, str], None]:
    def report(done: int, total: int, heading: str) -> None:
        bars.update(bar, completed=done, total=total, description=f"{name}: {heading}")

    return report
