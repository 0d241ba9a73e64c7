"""The slow statements of a run of the workload, and the plans that change with the indexes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import psycopg

from perflab.advisor.advice import Advice
from perflab.advisor.auto_explain import watched
from perflab.advisor.calls import CallLog
from perflab.advisor.errors import AdvisorError
from perflab.advisor.proof import build_chosen
from perflab.advisor.slow_queries import SlowQuery, Thresholds, slow_calls, slow_queries
from perflab.advisor.statement_stats import Snapshot, difference, take_snapshot
from perflab.database.index_builder import BuildReport
from perflab.database.session import Session
from perflab.progress import Step
from perflab.report.not_run import NotRun
from perflab.studies.advisor.case import Case

EXTENSION = "pg_stat_statements"
SEEN, TIMES = 20, 3
"""How often each statement runs to find the slow ones (a p95 needs 20), and to see its plan."""


@dataclass(frozen=True)
class Slow:
    """The slow statements of a run, costliest first, and who counted them."""

    statements: tuple[SlowQuery, ...]
    source: str
    """In words, for whoever reads the figures."""


def find_slow(case: Case, seed: int, thresholds: Thresholds | None = None) -> Slow:
    """Run the workload between two snapshots of pg_stat_statements, its calls watched.

    Single calls come from auto_explain, or from the client's clock where that cannot be had;
    where the server counts no statements, they are all there is.
    """
    calls = CallLog(seed)
    before = _snapshot(case.before)
    watcher = _watch(case, calls, seed)
    if isinstance(before, NotRun):
        return Slow(slow_calls(calls, thresholds), f"{watcher} alone ({before.reason})")
    with psycopg.connect(case.before, autocommit=True) as conn:
        between = difference(before, take_snapshot(conn))
    return Slow(
        slow_queries(between, thresholds, calls), f"pg_stat_statements; p95 and plans by {watcher}"
    )


def _watch(case: Case, calls: CallLog, seed: int) -> str:
    """Run the workload and count its calls; says who counted."""
    with Session(case.before) as session:
        try:
            with watched(session.conn, calls):
                _ask(session, case, seed, SEEN)
        except AdvisorError as error:
            _ask(session, case, seed, SEEN, calls)
            return f"the client's clock, since {error}"
    return "auto_explain"


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
    with Session(conninfo) as session:
        _ask(session, case, seed, TIMES)


def _ask(session: Session, case: Case, seed: int, times: int, calls: CallLog | None = None) -> None:
    rng = np.random.default_rng(seed)
    texts = {statement.name: statement.text for statement in case.statements}
    for one in case.timed:
        for _ in range(times):
            params = one.draw(rng).params
            started = time.perf_counter()
            rows = one.run(session, params)
            if calls is not None:
                calls.add(texts[one.name], 1_000 * (time.perf_counter() - started), rows)
