"""The advice measured, against no indexes and against the catalogue that people wrote."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import psycopg

from perflab.advisor.advice import Advice
from perflab.advisor.catalog import read_catalog
from perflab.advisor.existing import Idle, idle_indexes
from perflab.advisor.proof import Proof, measure, prove
from perflab.advisor.returns import Return, measure_returns
from perflab.database.index_builder import BuildReport, build_indexes
from perflab.measure.comparison import Comparison, compare
from perflab.measure.results import Origin, Result, from_comparison
from perflab.measure.samples import Samples
from perflab.measure.statistics import Estimate, Interval, NotEstimable, mean_of_repetitions
from perflab.profiles import AdvisorSizes
from perflab.progress import Step
from perflab.schema.indexes import CATALOGUE
from perflab.studies.advisor.case import Case

LEAST_SHARE_PERCENT = 90.0
MOST_RATIO = 1.10
"""What the advice must reach of the catalogue: share of its reduction, and ratio of times."""


@dataclass(frozen=True)
class Rivalry:
    """The catalogue (before) against the advice (after), same rows, same questions."""

    database: str = field(repr=False)
    """conninfo of the copy with the catalogue."""

    by_statement: dict[str, Comparison]
    overall: Comparison
    """Of the whole workload: every statement weighs the same."""
    geometric: Estimate
    """The typical statement's time, advice over catalogue."""
    share_percent: Estimate
    """The advice's reduction of the workload's time, in percent of the catalogue's."""
    advised: int
    catalogued: int
    """Numbers of indexes."""
    advised_bytes: int
    catalogued_bytes: int
    idle: tuple[Idle, ...]
    """Indexes of the catalogue that the workload just measured did not use, or that are doubled."""


def prove_case(
    case: Case,
    advice: Advice,
    report: BuildReport,
    sizes: AdvisorSizes,
    seed: int,
    step: Step | None = None,
) -> Proof:
    """Measure the advice, which is built in the case's second copy; see ``proof.prove``."""
    return prove(
        case.before,
        case.advised,
        case.timed,
        advice.statements,
        advice.selection,
        report,
        case.catalog,
        sizes,
        seed,
        step,
        copy=lambda conninfo: case.datasets.copy(conninfo, "advisor_without"),
    )


def against_catalogue(
    case: Case, proof: Proof, sizes: AdvisorSizes, seed: int, step: Step | None = None
) -> Rivalry:
    """Build the catalogue in a third copy and measure the advice against it."""
    catalogued = case.datasets.clone("advisor_catalogue", case.users)
    built = build_indexes(catalogued, CATALOGUE)
    tables = ", ".join(sorted({spec.table for spec in CATALOGUE}))
    with psycopg.connect(catalogued, autocommit=True) as conn:
        conn.execute(f"VACUUM (ANALYZE) {tables}".encode())
    samples = measure(catalogued, case.advised, case.timed, sizes, seed, step)
    overall = compare(samples)
    with psycopg.connect(catalogued, autocommit=True) as conn:
        idle = idle_indexes(read_catalog(conn))
    return Rivalry(
        database=catalogued,
        by_statement={one.name: compare(samples, operations=[one.name]) for one in case.timed},
        overall=overall,
        geometric=geometric_ratio(samples),
        share_percent=share_of_reduction(compare(proof.samples).mean, overall.mean),
        advised=len(proof.kept),
        catalogued=len(built.built),
        advised_bytes=sum(proved.built.size_bytes for proved in proof.kept),
        catalogued_bytes=sum(one.size_bytes for one in built.built),
        idle=idle,
    )


def returns_of_catalogue(
    case: Case, rivalry: Rivalry, sizes: AdvisorSizes, seed: int, step: Step | None = None
) -> tuple[Return, ...]:
    """Leave each index of the catalogue out in turn, in a copy, and measure who misses it."""
    without = case.datasets.copy(rivalry.database, "advisor_left_out")
    with psycopg.connect(rivalry.database, autocommit=True) as conn:
        catalog = read_catalog(conn)
    return measure_returns(
        rivalry.database, without, case.timed, case.statements, catalog, rivalry.idle, sizes, seed,
        step,
    )  # fmt: skip


def geometric_ratio(samples: Samples) -> Estimate:
    """after/before of the typical operation: the geometric mean over operations.

    Each round gives one, of its medians; Student's interval over the rounds' logarithms.
    """
    logs = []
    for number in np.unique(samples.round):
        ratios = []
        for operation in range(len(samples.operations)):
            here = (samples.round == number) & (samples.operation == operation)
            before, after = (
                float(np.median(samples.latency_s[here & (samples.arm == arm)])) for arm in (0, 1)
            )
            ratios.append(math.log(after / before))
        logs.append(float(np.mean(ratios)))
    found = mean_of_repetitions(logs)
    if isinstance(found, NotEstimable):
        return found
    return Interval(*(math.exp(value) for value in (found.estimate, found.lo, found.hi)))


def share_of_reduction(advised: Estimate, against: Estimate) -> Estimate:
    """The advice's reduction in percent of the catalogue's.

    ``advised`` is the ratio of times advice/none, ``against`` the ratio advice/catalogue, so that
    catalogue/none is their quotient. The interval is the widest that both intervals allow.
    """
    if not isinstance(advised, Interval):
        return advised
    if not isinstance(against, Interval):
        return against
    ends = [_share(a, b) for a in (advised.lo, advised.hi) for b in (against.lo, against.hi)]
    if any(math.isnan(end) for end in ends):
        return NotEstimable("the catalogue itself may not make the workload faster")
    return Interval(_share(advised.estimate, against.estimate), min(ends), max(ends))


def _share(advised: float, against: float) -> float:
    catalogue = 1 - advised / against
    return 100 * (1 - advised) / catalogue if catalogue > 0 else math.nan


def results_of(proof: Proof, rivalry: Rivalry, origin: Origin) -> list[Result]:
    """The two figures of the whole workload: advice against none, and against the catalogue."""
    return [
        from_comparison(origin, compare(proof.samples), name="advisor.workload"),
        from_comparison(origin, rivalry.overall, name="advisor.against_catalogue"),
    ]
