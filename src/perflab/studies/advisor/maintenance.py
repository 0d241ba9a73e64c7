"""Looks after a database: what is wrong with its statistics and tables, mended on a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from perflab.advisor.catalog import read_catalog
from perflab.advisor.maintenance.cures import Diagnosis, diagnose
from perflab.advisor.maintenance.findings import Finding, Limits, ranked
from perflab.advisor.maintenance.health import read_health
from perflab.advisor.maintenance.mending import Mended, mend
from perflab.advisor.maintenance.misestimates import observe
from perflab.advisor.maintenance.rules import inspect
from perflab.advisor.maintenance.space import wasted_bytes
from perflab.advisor.timed import timed_statement
from perflab.advisor.workload import Statement
from perflab.datasets import Datasets
from perflab.profiles import AdvisorSizes
from perflab.progress import Step
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
    return look_after(datasets, before, STATEMENTS, sizes, seed, step)


def look_after(
    datasets: Datasets,
    before: str,
    statements: Sequence[Statement],
    sizes: AdvisorSizes,
    seed: int,
    step: Step | None = None,
    limits: Limits | None = None,
) -> Upkeep:
    """Look at the database ``before``, one of ``datasets``' own, and mend a copy of it."""
    bounds = limits or Limits()
    with psycopg.connect(before, autocommit=True) as conn:
        health = read_health(conn)
        state = inspect(health, bounds, wasted_bytes(conn, health))
        catalog = read_catalog(conn)
        seen = [one for s in statements for one in observe(conn, s, catalog, bounds)]
    if not seen and not state:
        return Upkeep(before, (), (), ())
    after = datasets.copy(before, "advisor_mended")
    diagnoses = diagnose(after, seen, bounds)
    findings = ranked((*(d.finding for d in diagnoses if d.finding), *state))
    timed = [one for s in statements if (one := timed_statement(s))]
    return Upkeep(
        before,
        findings,
        diagnoses,
        mend(before, after, findings, statements, timed, sizes, seed, step),
    )
