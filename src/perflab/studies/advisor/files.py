"""Advice for somebody's statements on the lab's schema: estimated, built on a copy, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import psycopg

from perflab.advisor.advice import Advice, Unplanned, plannable
from perflab.advisor.guest import guest_on
from perflab.advisor.proof import Proof, build_chosen
from perflab.advisor.selection import Limits
from perflab.advisor.timed import Timed, timed_statement, trial
from perflab.advisor.workload import Statement
from perflab.datasets import Datasets
from perflab.measure.comparison import Comparison
from perflab.measure.statistics import Estimate, Interval
from perflab.profiles import AdvisorSizes
from perflab.progress import Step
from perflab.report.tables import NOT_ESTIMABLE, interval_text
from perflab.studies.advisor.case import Case, advise_case, make_case
from perflab.studies.advisor.proving import prove_case

STATEMENT_S = 30.0
"""Longer than this no statement of a file may run."""


@dataclass(frozen=True)
class Measured:
    """What came of it."""

    before: str = field(repr=False)
    advised: str = field(repr=False)
    """conninfos of the two copies."""
    advice: Advice
    unplanned: tuple[Unplanned, ...]
    untimed: tuple[Unplanned, ...]
    """Statements that were planned and cannot be run, and why."""
    proof: Proof | None
    """None where nothing was chosen or nothing could be run."""

    def cells(self, comparison: Comparison) -> tuple[str, str, str]:
        """Before, after and their ratio as people read them."""
        ratio = comparison.median
        return (
            _text(comparison.before.median_ms),
            _text(comparison.after.median_ms),
            interval_text(ratio.estimate, ratio.lo, ratio.hi, 2)
            if isinstance(ratio, Interval)
            else NOT_ESTIMABLE,
        )


def advise_and_prove(
    datasets: Datasets,
    sizes: AdvisorSizes,
    seed: int,
    statements: Sequence[Statement] | None,
    limits: Limits,
    step: Step,
) -> Measured:
    """Advise on ``statements``, or on the application's own queries where there are none.

    Statements of others are planned and run as a guest, who may read and write rows of the
    copies and nothing else; what they write is rolled back.
    """
    case = make_case(datasets, sizes, seed)
    if statements is None:
        advice = advise_case(case, limits, step)
        proof = _proof(case, advice, case.timed, sizes, seed, step, None)
        return Measured(case.before, case.advised, advice, (), (), proof)
    schemas = sorted({table.schema for table in case.catalog.tables})
    with guest_on((case.before, case.advised), schemas, STATEMENT_S) as (before, advised):
        with psycopg.connect(before, autocommit=True) as conn:
            good, unplanned = plannable(conn, statements)
        mine = replace(case, statements=good)
        advice = advise_case(mine, limits, step)
        timed = [one for statement in good if (one := timed_statement(statement))]
        failed = trial(before, timed)
        runnable = [one for one in timed if one.name not in failed]
        untimed = [
            Unplanned(s.name, failed.get(s.name, "it has no values ($n)"))
            for s in good
            if s.name not in {one.name for one in runnable}
        ]
        proof = _proof(mine, advice, runnable, sizes, seed, step, (before, advised))
    return Measured(case.before, case.advised, advice, unplanned, tuple(untimed), proof)


def _proof(
    case: Case,
    advice: Advice,
    timed: Sequence[Timed],
    sizes: AdvisorSizes,
    seed: int,
    step: Step,
    guests: tuple[str, str] | None,
) -> Proof | None:
    if not advice.selection.chosen or not timed:
        return None
    report = build_chosen(case.advised, advice.selection, step)
    mine = replace(case, timed=tuple(timed))
    return prove_case(mine, advice, report, sizes, seed, step, guests)


def _text(estimate: Estimate) -> str:
    if not isinstance(estimate, Interval):
        return NOT_ESTIMABLE
    return f"{estimate.estimate:,.3f}"
