"""The slow statements of a run of the workload, and the plans that change with the indexes."""

from __future__ import annotations

import numpy as np
import psycopg

from perflab.advisor.advice import Advice
from perflab.advisor.errors import AdvisorError
from perflab.advisor.proof import build_chosen
from perflab.advisor.slow_queries import SlowQuery, Thresholds, slow_queries
from perflab.advisor.statement_stats import Snapshot, difference, take_snapshot
from perflab.database.index_builder import BuildReport
from perflab.database.session import Session
from perflab.progress import Step
from perflab.report.not_run import NotRun
from perflab.studies.advisor.case import Case

EXTENSION = "pg_stat_statements"
TIMES = 3
"""How often each statement runs between two snapshots."""


def find_slow(
    case: Case, seed: int, thresholds: Thresholds | None = None
) -> tuple[SlowQuery, ...] | NotRun:
    """Run the workload between two snapshots of pg_stat_statements.

    A NotRun says why a server has no such statistics.
    """
    before = _snapshot(case.before)
    if isinstance(before, NotRun):
        return before
    _run(case, case.before, seed)
    with psycopg.connect(case.before, autocommit=True) as conn:
        return slow_queries(difference(before, take_snapshot(conn)), thresholds)


def build_and_watch(
    case: Case, advice: Advice, seed: int, step: Step | None = None
) -> tuple[BuildReport, tuple[SlowQuery, ...] | NotRun]:
    """Build the advice in its copy; the statements whose plans changed from before to after it."""
    before = _snapshot(case.advised)
    if not isinstance(before, NotRun):
        _run(case, case.advised, seed)
        before = _snapshot(case.advised)
    report = build_chosen(case.advised, advice.selection, step)
    if isinstance(before, NotRun):
        return report, before
    _run(case, case.advised, seed)
    with psycopg.connect(case.advised, autocommit=True) as conn:
        found = slow_queries(difference(before, take_snapshot(conn, plans=100)))
    return report, tuple(one for one in found if one.flipped)


def _snapshot(conninfo: str) -> Snapshot | NotRun:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        try:
            conn.execute(f"CREATE EXTENSION IF NOT EXISTS {EXTENSION}".encode())
            return take_snapshot(conn, plans=100)
        except (psycopg.Error, AdvisorError) as error:
            return NotRun("slow statements", str(error).splitlines()[0])


def _run(case: Case, conninfo: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with Session(conninfo) as session:
        for one in case.timed:
            for _ in range(TIMES):
                one.run(session, one.draw(rng).params)
