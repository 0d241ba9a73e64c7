"""The database's arms: two clones of one template, one of them with the index catalogue."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import psycopg
from psycopg import sql

from perflab.database.index_builder import BuildReport, build_indexes
from perflab.datasets import Datasets
from perflab.parameters import PlanCacheMode
from perflab.progress import Step
from perflab.schema.indexes import select_indexes
from perflab.schema.population import Population
from perflab.schema.tables import metadata


@dataclass(frozen=True)
class Arms:
    """Two databases with the same rows; only the indexes differ."""

    before: str
    """conninfo: primary keys, the unique e-mail and foreign keys only."""
    after: str
    """conninfo: the same with the catalogue built."""
    population: Population
    rows: int
    built: BuildReport
    before_bytes: int
    after_bytes: int
    plan_cache_mode: PlanCacheMode

    @property
    def conninfos(self) -> tuple[str, str, str]:
        """Before, after, and after once more: the control."""
        return self.before, self.after, self.after


def make_arms(
    datasets: Datasets,
    *,
    users: int | None = None,
    without: Collection[str] = (),
    plan_cache_mode: PlanCacheMode = "force_custom_plan",
    step: Step | None = None,
) -> Arms:
    """Clone the template twice and build the catalogue in one of the clones.

    Autovacuum is switched off for every table of both, so that no background work falls into
    one arm only; both are analysed, and vacuumed so that index-only scans can work.
    """
    specs = select_indexes(without)
    before, after = datasets.clone("before", users), datasets.clone("after", users)
    for conninfo in (before, after):
        _autovacuum_off(conninfo)
    built = build_indexes(after, specs, progress=step)
    for conninfo in (before, after):
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute("VACUUM (ANALYZE)")
    rows, before_bytes = _facts(before)
    return Arms(
        before=before,
        after=after,
        population=datasets.population(users),
        rows=rows,
        built=built,
        before_bytes=before_bytes,
        after_bytes=_facts(after)[1],
        plan_cache_mode=plan_cache_mode,
    )


def _autovacuum_off(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for table in metadata.sorted_tables:
            conn.execute(
                sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = false)").format(
                    sql.Identifier(table.name)
                )
            )


def _facts(conninfo: str) -> tuple[int, int]:
    """Estimated rows of the lab's tables, and the database's bytes."""
    with psycopg.connect(conninfo) as conn:
        row = conn.execute(
            "SELECT coalesce(sum(reltuples), 0)::bigint, pg_database_size(current_database())"
            " FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchone()
    if row is None:
        raise RuntimeError("an aggregate returned no row")
    return row[0], row[1]
