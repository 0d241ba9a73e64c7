"""The two arms, whatever they hold: databases with the same rows, and the questions asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
import psycopg
from psycopg import sql

from perflab.database.index_builder import BuildReport
from perflab.datasets import Datasets
from perflab.measure.experiment import Drawn
from perflab.parameters import PlanCacheMode
from perflab.report.not_run import NotRun
from perflab.schema.population import Population
from perflab.studies.database.own_tables import make_own_tables

P = ParamSpec("P")
T = TypeVar("T")

OWN_TABLES = """
    SELECT c.oid::regclass::text, c.relkind = 'm'
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^(pg_|information_schema$)'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1
"""
"""Tables and materialised views of a database, those of extensions left out."""


@dataclass(frozen=True)
class Question:
    """A query as it is put to both arms."""

    name: str
    category: str
    sql: str
    """With ``%(name)s`` placeholders."""
    draw: Callable[[np.random.Generator], Drawn]
    timed: bool = True
    """Part of the mix "all queries"."""
    claimed: bool = True
    """Of a category that the claims speak of; these make up the clients' mix."""


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Two databases with the same rows; only what was built in *after* differs."""

    before: str
    """conninfo."""
    after: str
    """conninfo."""
    questions: tuple[Question, ...]
    rows: int
    built: BuildReport
    serves: Mapping[str, str]
    """By what was built, the queries that it is for."""
    about: Mapping[str, str] = field(default_factory=dict)
    """By claim id ``query:name``, ``category:name`` or ``all``, where the id does not say so."""
    remarks: tuple[str, ...] = ()
    """What a reader must know of the data or the queries."""
    before_bytes: int
    after_bytes: int
    plan_cache_mode: PlanCacheMode

    @property
    def conninfos(self) -> tuple[str, str, str]:
        """Before, after, and after once more: the control."""
        return self.before, self.after, self.after

    @property
    def timed(self) -> tuple[Question, ...]:
        """The questions of the main experiment."""
        return tuple(question for question in self.questions if question.timed)

    @property
    def claimed(self) -> tuple[Question, ...]:
        """The questions of the clients' mix."""
        return tuple(question for question in self.questions if question.claimed)


@dataclass(frozen=True, kw_only=True)
class LabArms(Arms):
    """Arms with the lab's own schema, which some sections need."""

    datasets: Datasets
    population: Population


def needs_lab_schema(
    section: str,
) -> Callable[[Callable[Concatenate[LabArms, P], T]], Callable[Concatenate[Arms, P], T | NotRun]]:
    """For a section about the lab's own tables: elsewhere its outcome is a :class:`NotRun`."""

    def decorate(
        measure: Callable[Concatenate[LabArms, P], T],
    ) -> Callable[Concatenate[Arms, P], T | NotRun]:
        @wraps(measure)
        def guarded(arms: Arms, /, *args: P.args, **kwargs: P.kwargs) -> T | NotRun:
            if not isinstance(arms, LabArms):
                return NotRun(section, "needs the lab's own schema")
            return measure(arms, *args, **kwargs)

        return guarded

    return decorate


@dataclass(frozen=True)
class Settled:
    """Facts about two arms that are ready to be measured."""

    built: BuildReport
    rows: int
    before_bytes: int
    after_bytes: int


def settle(before: str, after: str, build: Callable[[str], BuildReport]) -> Settled:
    """Build in *after* and make both arms quiet and known to the planner.

    Autovacuum is switched off for every table of both, so that no background work falls into
    one arm only; both are analysed, and vacuumed so that index-only scans can work.
    """
    for conninfo in (before, after):
        _autovacuum_off(conninfo)
    built = build(after)
    _autovacuum_off(after)  # what was built may be tables too
    for conninfo in (before, after):
        _vacuum(conninfo)
    rows, before_bytes = _facts(before)
    after_bytes = _facts(after)[1]
    make_own_tables(after)
    return Settled(built, rows, before_bytes, after_bytes)


def _vacuum(conninfo: str) -> None:
    """By name: a superuser's plain VACUUM would work on catalogs that other databases share."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        tables = [sql.SQL(table) for table, _is_view in conn.execute(OWN_TABLES).fetchall()]
        if tables:
            conn.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.SQL(", ").join(tables)))


def _autovacuum_off(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for table, is_view in conn.execute(OWN_TABLES).fetchall():
            kind = sql.SQL("MATERIALIZED VIEW" if is_view else "TABLE")
            conn.execute(
                sql.SQL("ALTER {} {} SET (autovacuum_enabled = false)").format(kind, sql.SQL(table))
            )


def _facts(conninfo: str) -> tuple[int, int]:
    """Estimated rows of the database's tables, and its bytes."""
    with psycopg.connect(conninfo) as conn:
        row = conn.execute(
            "SELECT coalesce(sum(reltuples), 0)::bigint, pg_database_size(current_database())"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema$)'"
        ).fetchone()
    if row is None:
        raise RuntimeError("an aggregate returned no row")
    return row[0], row[1]
