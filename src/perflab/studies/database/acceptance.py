"""A user's queries tried out in both arms before anything is timed."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import psycopg

from perflab.database.plans import explain
from perflab.database.session import Session, positional
from perflab.errors import ConfigError
from perflab.parameters import PlanCacheMode
from perflab.progress import Step
from perflab.studies.database.arms import Question
from perflab.workload import Query, Workload
from perflab.workload.draws import Drawer, Drawn, bind, said

DRAWS = 3
"""Calls of each query with which the arms are compared."""
_DIGITS = 9
"""Significant digits in which two sums of floats must agree: their order may differ."""


@dataclass(frozen=True)
class Accepted:
    """Queries that run in both arms and return the same rows there."""

    questions: tuple[Question, ...]
    serves: dict[str, str]
    """By index the queries whose plan in *after* uses it."""
    seconds: dict[str, float]
    """By query the time of one call in *before* and two in *after*, as a round does."""
    remarks: tuple[str, ...]

    @property
    def total_s(self) -> float:
        """One call of every query in every arm."""
        return sum(self.seconds.values())


def accept(
    before: str,
    after: str,
    workload: Workload,
    seed: int,
    plan_cache_mode: PlanCacheMode,
    step: Step,
) -> Accepted:
    """Try each query a few times, read-only and within the file's time limit.

    A ConfigError names file, line and query, the arm and the server's words; also where the two
    arms return different rows for the same parameters.
    """
    settings = {
        "default_transaction_read_only": "on",
        "statement_timeout": str(workload.timeout_ms),
    }
    rng = np.random.default_rng(seed)
    questions, seconds, remarks = [], {}, []
    used: dict[str, list[str]] = {}
    with (
        psycopg.connect(before) as data,
        Session(before, plan_cache_mode, settings) as old,
        Session(after, plan_cache_mode, settings) as new,
    ):
        for number, query in enumerate(workload.queries):
            step(f"trying {query.name}", number, len(workload.queries))
            draw = bind(data, workload, query)
            trial = _Trial(workload, query, draw, old, new)
            draws = [draw(rng) for _ in range(DRAWS)]
            for index in trial.explained(draws[0]):
                used.setdefault(index, []).append(query.name)
            rows = [trial.rows(drawn) for drawn in draws]
            if not any(rows):
                remarks.append(f"{query.name} found no row in any of {DRAWS} calls")
            seconds[query.name] = trial.seconds
            questions.append(Question(query.name, query.category, query.sql, draw))
    return Accepted(
        questions=tuple(questions),
        serves={index: ", ".join(names) for index, names in used.items()},
        seconds=seconds,
        remarks=tuple(remarks),
    )


class _Trial:
    """One query in both arms."""

    def __init__(
        self, workload: Workload, query: Query, draw: Drawer, before: Session, after: Session
    ) -> None:
        self._workload = workload
        self._query = query
        self._arms = {"before": before, "after": after}
        self._statement, self._names = positional(query.sql)
        self._best_s: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """The fastest call in *before* and twice that in *after*."""
        return self._best_s["before"] + 2 * self._best_s["after"]

    def explained(self, drawn: Drawn) -> tuple[str, ...]:
        """The indexes of the plan in *after*; the plans are made, nothing is executed."""
        found: tuple[str, ...] = ()
        for arm, session in self._arms.items():
            try:
                plan = explain(session.conn, self._query.sql, drawn.params, analyze=False)
            except psycopg.Error as error:
                raise self._refused(arm, error) from None
            found = plan.index_names
        return found

    def rows(self, drawn: Drawn) -> int:
        """How many rows both arms return; a ConfigError where they are not the same."""
        before, after = (self._fetched(arm, drawn) for arm in self._arms)
        if digest(before) != digest(after):
            counted = (
                f"{len(before)} and {len(after)} rows"
                if len(before) != len(after)
                else f"other values in {len(before)} rows"
            )
            raise self._error(
                f"before and after differ for the same parameters ({counted}): the DDL under "
                "[after] must not change results, nor may now(), random(), or a LIMIT or an "
                "aggregate whose order is not fully determined"
            )
        return len(before)

    def _fetched(self, arm: str, drawn: Drawn) -> Sequence[tuple[object, ...]]:
        cursor = psycopg.RawCursor(self._arms[arm].conn)
        started = time.perf_counter()
        try:
            cursor.execute(self._statement, [drawn.params[name] for name in self._names])
            rows = cursor.fetchall()
        except psycopg.Error as error:
            raise self._refused(arm, error) from None
        took = time.perf_counter() - started
        self._best_s[arm] = min(took, self._best_s.get(arm, took))
        return rows

    def _refused(self, arm: str, error: psycopg.Error) -> ConfigError:
        return self._error(f"{said(error, self._workload)} (in {arm})")

    def _error(self, reason: str) -> ConfigError:
        query = self._query
        return self._workload.error((*query.steps, query.key), f"query {query.name!r}: {reason}")


def digest(rows: Sequence[tuple[object, ...]]) -> tuple[int, int]:
    """How many rows and a checksum that does not depend on their order."""
    return len(rows), sum(hash(tuple(map(_settled, row))) for row in rows)


def _settled(value: object) -> object:
    """A value as it must agree in both arms, hashable."""
    if isinstance(value, float):
        return f"{value:.{_DIGITS}g}"
    if isinstance(value, list | tuple):
        return tuple(map(_settled, value))
    if value is None or isinstance(value, str | int | Decimal | dt.date | dt.timedelta | bytes):
        return value
    return repr(value)
