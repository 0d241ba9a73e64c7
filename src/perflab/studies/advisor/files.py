"""Advice for somebody's statements on the lab's schema: estimated, built on a copy, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from perflab.advisor.advice import Advice, Unplanned, advise, plannable
from perflab.advisor.catalog import Catalog
from perflab.advisor.guest import guest_on
from perflab.advisor.proof import Proof, build_chosen, prove
from perflab.advisor.selection import Limits
from perflab.advisor.timed import timed_statement, trial
from perflab.advisor.whatif import built_in_transaction
from perflab.advisor.workload import Statement
from perflab.datasets import Datasets
from perflab.measure.comparison import Comparison
from perflab.measure.statistics import Estimate, Interval
from perflab.profiles import AdvisorSizes
from perflab.progress import Step
from perflab.report.tables import NOT_ESTIMABLE, interval_text
from perflab.studies.advisor.case import advise_case, make_case
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

    @property
    def runnable(self) -> tuple[Statement, ...]:
        """Statements that were planned and ran once without harm."""
        untimed = {one.name for one in self.untimed}
        return tuple(one for one in self.advice.statements if one.name not in untimed)

    def cells(self, comparison: Comparison) -> tuple[str, str, str]:
        """Before, after and their ratio as people read them."""
        ratio = comparison.median
        return (
            _text(comparison.before.median_ms),
            _text(comparison.after.median_ms),
            interval_text(ratio.estimate, ratio.lo, ratio.hi, 3)
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
    """Advise on ``statements``, or on the application's own queries where there are none."""
    case = make_case(datasets, sizes, seed)
    if statements is not None:
        copies = (case.before, case.advised)
        return measure_as_guest(copies, case.catalog, statements, sizes, seed, limits, step)
    advice = advise_case(case, limits, step)
    proof = None
    if advice.selection.chosen:
        report = build_chosen(case.advised, advice.selection, step)
        proof = prove_case(case, advice, report, sizes, seed, step)
    return Measured(case.before, case.advised, advice, (), (), proof)


def measure_as_guest(
    copies: tuple[str, str],
    catalog: Catalog,
    statements: Sequence[Statement],
    sizes: AdvisorSizes,
    seed: int,
    limits: Limits,
    step: Step,
) -> Measured:
    """Advise on statements of others and measure it on two equal databases, the advice in one.

    They are planned and run as a guest, who may read and write rows of the copies and nothing
    else; what they write is rolled back.
    """
    before, advised = copies
    schemas = sorted({table.schema for table in catalog.tables})
    with guest_on(copies, schemas, STATEMENT_S) as (guest_before, guest_advised):
        with psycopg.connect(guest_before, autocommit=True) as conn:
            good, unplanned = plannable(conn, statements)
        with built_in_transaction(before) as what_if:
            advice = advise(good, catalog, what_if, limits, step)
        failed = trial(guest_before, good)
        untimed = tuple(Unplanned(name, reason) for name, reason in failed.items())
        runnable = (statement for statement in good if statement.name not in failed)
        timed = [one for statement in runnable if (one := timed_statement(statement))]
        proof = None
        if advice.selection.chosen and timed:
            report = build_chosen(advised, advice.selection, step)
            proof = prove(
                before, advised, timed, good, advice.selection, report, catalog, sizes, seed,
                step, (guest_before, guest_advised),
            )  # fmt: skip
    return Measured(before, advised, advice, unplanned, untimed, proof)


def _text(estimate: Estimate) -> str:
    if not isinstance(estimate, Interval):
        return NOT_ESTIMABLE
    return f"{estimate.estimate:,.3f}"
