"""Looks after a database: what is wrong with its statistics and tables, mended on a copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import psycopg

from perflab.advisor.catalog import Catalog, read_catalog
from perflab.advisor.guest import guest_on
from perflab.advisor.maintenance.cures import Diagnosis, diagnose
from perflab.advisor.maintenance.findings import Finding, Limits, ranked
from perflab.advisor.maintenance.health import read_health
from perflab.advisor.maintenance.mending import Mended, mend
from perflab.advisor.maintenance.misestimates import Example, observe
from perflab.advisor.maintenance.rules import inspect
from perflab.advisor.maintenance.space import wasted_bytes
from perflab.advisor.timed import timed_statement
from perflab.advisor.workload import Statement
from perflab.datasets import Datasets
from perflab.profiles import AdvisorSizes
from perflab.progress import Step
from perflab.studies.advisor.case import Case
from perflab.studies.advisor.parcels import STATEMENTS, make_parcels


@dataclass(frozen=True)
class Upkeep:
    """What was found wrong, and what it came to when it was mended."""

    before: str = field(repr=False)
    """conninfo of the database as it was."""
    findings: tuple[Finding, ...]
    """Most urgent first; may be empty."""
    diagnoses: tuple[Diagnosis, ...]
    """Every misestimate of the workload, also those for which nothing is advised."""
    mended: tuple[Mended, ...]
    """The findings, each with what was measured after it."""


def look_after_parcels(
    datasets: Datasets, sizes: AdvisorSizes, seed: int, step: Step | None = None
) -> Upkeep:
    """The data set made for the purpose: found, mended on a copy, measured."""
    before = make_parcels(datasets)
    return look_after(before, copier(datasets), STATEMENTS, sizes, seed, step)


def look_after_case(case: Case, sizes: AdvisorSizes, seed: int, step: Step | None = None) -> Upkeep:
    """The lab's own schema with the advice built, under the application's queries."""
    return look_after(case.advised, copier(case.datasets), case.statements, sizes, seed, step)


def copier(datasets: Datasets) -> Callable[[str], str]:
    """How :func:`look_after` gets its copy of one of ``datasets``' own databases."""
    return lambda conninfo: datasets.copy(conninfo, "advisor_mended")


def look_after(
    before: str,
    copy: Callable[[str], str],
    statements: Sequence[Statement],
    sizes: AdvisorSizes,
    seed: int,
    step: Step | None = None,
    limits: Limits | None = None,
    guest_s: float = 0.0,
    state: bool = True,
) -> Upkeep:
    """Look at the database ``before``, which must be the lab's own, and mend a copy of it.

    ``copy`` makes that of a database that nobody is connected to. With ``guest_s`` the statements
    run as a guest who may touch rows only, each for so many seconds at most; what fails when it
    is run is left out. Without ``state`` only plans are looked at: counters and space of a
    database whose rows were just copied say nothing of the one that they came from.
    """
    bounds = limits or Limits()
    with psycopg.connect(before, autocommit=True) as conn:
        found: tuple[Finding, ...] = ()
        if state:
            health = read_health(conn)
            found = inspect(health, bounds, wasted_bytes(conn, health))
        catalog = read_catalog(conn)
    after = copy(before)
    with ExitStack() as stack:
        runners = (before, after)
        if guest_s:
            schemas = sorted({table.schema for table in catalog.tables})
            first, second = stack.enter_context(guest_on(runners, schemas, guest_s))
            runners = (first, second)
        runnable, seen = _observed(runners[0], statements, catalog, bounds)
        diagnoses = diagnose(after, seen, bounds)
        findings = ranked((*(d.finding for d in diagnoses if d.finding), *found))
        timed = [one for s in runnable if (one := timed_statement(s))]
        mended = mend(before, after, findings, runnable, timed, sizes, seed, step, runners)
    return Upkeep(before, findings, diagnoses, mended)


def _observed(
    conninfo: str, statements: Sequence[Statement], catalog: Catalog, limits: Limits
) -> tuple[tuple[Statement, ...], tuple[Example, ...]]:
    """Statements that run, and where their plans met other rows than they expected."""
    runnable: list[Statement] = []
    seen: list[Example] = []
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("SET jit = off")
        for statement in statements:
            with suppress(psycopg.Error):
                seen += observe(conn, statement, catalog, limits)
                runnable.append(statement)
    return tuple(runnable), tuple(seen)
