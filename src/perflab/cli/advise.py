"""``perflab advise``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer
from rich.markup import escape

from perflab.cli.advice_printed import (
    print_copy,
    print_estimate,
    print_idle,
    print_refused,
    print_returns,
    print_unchanged,
)
from perflab.cli.console import console, progress_bars
from perflab.cli.outputs import check_output, write_output
from perflab.cli.proof_printed import print_proof
from perflab.cli.slow_printed import print_slow
from perflab.cli.upkeep_printed import print_findings, print_upkeep
from perflab.errors import ParameterError

if TYPE_CHECKING:
    from perflab.advisor.advice import Advice
    from perflab.advisor.candidates import Candidate
    from perflab.advisor.selection import Limits
    from perflab.advisor.slow_queries import Thresholds
    from perflab.advisor.workload import Workload
    from perflab.parameters import RungChoice
    from perflab.progress import Step
    from perflab.services import Postgres
    from perflab.studies.advisor.copied import CopyLimits


MOST = 1e9
LONGEST_S = 86_400.0


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
        float,
        typer.Option(min=0, max=MOST, help="The most MiB of new indexes together; 0: no limit."),
    ] = 0.0,
    slow_ms: Annotated[
        float, typer.Option(min=0, max=MOST, help="Mean ms of a call that is slow, on the target.")
    ] = 100.0,
    slow_share: Annotated[
        float,
        typer.Option(
            min=0, max=MOST, help="Percent of all time that is much for one statement there."
        ),
    ] = 10.0,
    copy_data: Annotated[
        bool,
        typer.Option("--copy-data", help="Copy the target's rows, and measure the advice there."),
    ] = False,
    copy_mib: Annotated[
        float,
        typer.Option(min=1, max=MOST, help="The most MiB of tables to copy; above it, a sample."),
    ] = 256.0,
    copy_seconds: Annotated[
        float,
        typer.Option(
            min=1, max=LONGEST_S, help="The longest that one SELECT may take on the target."
        ),
    ] = 60.0,
    out: Annotated[Path | None, typer.Option(help="Write the DDL to this file.")] = None,
) -> None:
    """Advise on indexes: measured on a copy of the lab's schema, or estimated for your server.

    With PERFLAB_TARGET_URL set, that database is advised on: only its catalogs and statistics
    are read and plain EXPLAIN is run, in read-only transactions; without --workload its own
    pg_stat_statements says what runs there. With --copy-data the tables that the workload names
    are copied to a server of the lab's, the advice is measured there, and the copy is deleted.
    Exit code 2 for a mistake.
    """
    # imported here: `perflab --help` should not wait for the parser and numpy
    from perflab.advisor.selection import Limits
    from perflab.advisor.slow_queries import Thresholds
    from perflab.advisor.target import VARIABLE
    from perflab.advisor.workload import read_workload
    from perflab.parameters import RungChoice
    from perflab.studies.advisor.copied import CopyLimits

    if services not in get_args(RungChoice):
        known = ", ".join(get_args(RungChoice))
        raise ParameterError(f"services={services!r} is unknown; choose one of {known}")
    check_output("--out", out)
    limits = Limits(per_table=per_table)
    if max_mib:
        limits = Limits(per_table=per_table, total_bytes=round(max_mib * 2**20))
    read = read_workload(workload) if workload is not None else None
    target = os.environ.get(VARIABLE, "").strip()
    if copy_data and not target:
        raise ParameterError(f"--copy-data copies from the database of {VARIABLE}; set it")
    if copy_data:
        from perflab.services.ladder import check_settings

        # the target is read before a server is opened
        check_settings(cast("RungChoice", services), ["postgres"])
        limited = CopyLimits(copy_mib, copy_seconds)
        ddl = _on_copy(target, read, limits, limited, cast("RungChoice", services), profile, seed)
    elif target:
        thresholds = Thresholds(mean_ms=slow_ms, share_percent=slow_share)
        ddl = _on_target(target, read, limits, thresholds)
    else:
        ddl = _on_lab(read, cast("RungChoice", services), profile, seed, limits)
    if out is not None:
        write_output("--out", out, "".join(f"{line};\n" for line in ddl))
        console.print(f"written: {out}", soft_wrap=True)


def _on_target(
    url: str, read: Workload | None, limits: Limits, thresholds: Thresholds
) -> list[str]:
    """Estimated advice for the user's own database."""
    from perflab.advisor.maintenance.target import inspect_target
    from perflab.advisor.target import advise_target

    found = advise_target(url, read.statements if read else None, limits, thresholds)
    print_refused(read, [str(one) for one in found.unplanned])
    print_slow(found.slow)
    print_estimate(found.advice)
    print_idle(found.advice.idle)
    print_findings(inspect_target(url))
    console.print(
        "[yellow]estimated, not measured[/]: nothing was run or changed on the server;"
        " try the statements on a copy first",
        soft_wrap=True,
    )
    return _ddl(found.advice, (one.candidate for one in found.advice.selection.chosen))


def _on_copy(
    url: str,
    read: Workload | None,
    limits: Limits,
    copying: CopyLimits,
    services: RungChoice,
    profile: str,
    seed: int,
) -> list[str]:
    """Advice for the user's own database, measured on a copy of its tables."""
    from perflab.advisor.maintenance.target import inspect_target
    from perflab.profiles import load_profile
    from perflab.services import PostgresSettings, open_services
    from perflab.studies.advisor.copied import advise_on_copy

    sizes = load_profile(profile)
    settings = PostgresSettings(shared_buffers_mb=max(256, round(2 * copying.mib)))

    @contextmanager
    def server() -> Iterator[Postgres]:
        with open_services(services, settings=settings, only=["postgres"]) as opened:
            yield opened.postgres

    with _steps("copy") as step:
        statements = read.statements if read else None
        found = advise_on_copy(
            url, statements, limits, copying, server, sizes.advisor, seed, step
        )  # fmt: skip
    print_copy(found)
    print_refused(read, [str(one) for one in found.measured.unplanned])
    print_estimate(found.measured.advice)
    print_proof(found.measured, found.extent.words)
    print_returns(found.returns)
    print_idle(found.idle)
    print_upkeep(found.upkeep, found.extent.words)
    print_findings(inspect_target(url))
    print_unchanged(found)
    proof = found.measured.proof
    kept = [one.choice.candidate for one in proof.kept] if proof else []
    return _ddl(found.measured.advice, kept, f"-- measured at {found.extent.words}\n")


def _on_lab(
    read: Workload | None, services: RungChoice, profile: str, seed: int, limits: Limits
) -> list[str]:
    """Advice on the lab's own schema, measured on copies."""
    from perflab.datasets import Datasets, shared_buffers_mb, template_name
    from perflab.profiles import load_profile
    from perflab.services import PostgresSettings, open_services
    from perflab.studies.advisor.files import STATEMENT_S, advise_and_prove
    from perflab.studies.advisor.maintenance import copier, look_after

    sizes = load_profile(profile)
    settings = PostgresSettings(shared_buffers_mb=shared_buffers_mb(sizes))
    template = template_name(sizes, seed)
    with open_services(services, settings=settings, template=template, only=["postgres"]) as opened:
        for note in opened.notes:
            console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
        datasets = Datasets(opened.postgres, sizes, seed)
        try:
            with _steps("data") as step:
                datasets.load(step)
                statements = read.statements if read else None
                found = advise_and_prove(datasets, sizes.advisor, seed, statements, limits, step)
                upkeep = look_after(
                    found.before, copier(datasets), found.advice.statements, sizes.advisor, seed,
                    step, guest_s=STATEMENT_S if read else 0,
                )  # fmt: skip
        finally:
            datasets.close()
    print_refused(read, [str(one) for one in found.unplanned])
    print_estimate(found.advice)
    print_proof(found)
    print_idle(found.advice.idle)
    print_upkeep(upkeep)
    kept = [one.choice.candidate for one in found.proof.kept] if found.proof else []
    return _ddl(found.advice, kept)


def _ddl(advice: Advice, candidates: Iterable[Candidate], above: str = "") -> list[str]:
    """The statements that make each, ``above`` before the first of each."""
    from perflab.advisor.partitions import statements_for

    made = (statements_for(one, advice.catalog) for one in candidates)
    return [f"{'' if n else above}{ddl}" for statements in made for n, ddl in enumerate(statements)]


@contextmanager
def _steps(first: str) -> Iterator[Step]:
    """A bar for the body."""
    with progress_bars() as bars:
        bar = bars.add_task(first, total=None)

        def step(what: str, done: int, total: int) -> None:
            bars.update(bar, description=what or "advice", completed=done, total=total)

        yield step
