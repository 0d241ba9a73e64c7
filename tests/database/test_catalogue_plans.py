"""Every index of the catalogue is chosen by the planner, at default planner settings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest

from perflab.database.index_builder import build_indexes
from perflab.database.pagination import ALL_TASKS, USER_FEED
from perflab.database.plans import Plan, explain
from perflab.schema.indexes import CATALOGUE
from perflab.schema.population import NOW, Population
from perflab.schema.queries import QUERIES, Query
from perflab.schema.seed import create_schema, finish, load
from perflab.services import Postgres

USERS = 5_000
"""The size at which each index is shown to be used; at 50,000 users it was checked by hand."""
DRAWS = 40
SEED = 42


@pytest.fixture(scope="module")
def arms(postgres: Postgres) -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    names = ("test_plans_before", "test_plans_after")
    with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
        for name in names:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        try:
            admin.execute("CREATE DATABASE test_plans_before")
            with psycopg.connect(postgres.conninfo(names[0])) as conn:
                create_schema(conn)
                load(conn, Population(USERS, SEED))
                finish(conn)
            admin.execute("CREATE DATABASE test_plans_after TEMPLATE test_plans_before")
            report = build_indexes(postgres.conninfo(names[1]))
            assert not report.failed
            with (
                psycopg.connect(postgres.conninfo(names[0]), autocommit=True) as before,
                psycopg.connect(postgres.conninfo(names[1]), autocommit=True) as after,
            ):
                after.execute("VACUUM (ANALYZE)")
                # the lab's servers run without it; the planner's own settings stay at default
                for conn in (before, after):
                    conn.execute("SET jit = off")
                yield before, after
        finally:
            for name in names:
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def plans(conn: psycopg.Connection, query: Query) -> list[Plan]:
    rng = np.random.default_rng(SEED)
    population = Population(USERS, SEED)
    return [
        explain(conn, query.sql, query.draw(rng, population).params, analyze=False)
        for _ in range(DRAWS)
    ]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_a_query_uses_the_indexes_it_names_at_every_selectivity(
    arms: tuple[psycopg.Connection, psycopg.Connection], query: Query
) -> None:
    catalogue = {spec.name for spec in CATALOGUE}
    for plan in plans(arms[1], query):
        assert set(plan.index_names) & catalogue == set(query.index), plan.summary


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_without_the_catalogue_the_same_query_reads_a_whole_table(
    arms: tuple[psycopg.Connection, psycopg.Connection], query: Query
) -> None:
    assert all(plan.sequential for plan in plans(arms[0], query))


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_both_arms_give_the_same_answer(
    arms: tuple[psycopg.Connection, psycopg.Connection], query: Query
) -> None:
    rng = np.random.default_rng(1)
    population = Population(USERS, SEED)
    for _ in range(3):
        params = query.draw(rng, population).params
        one, other = (
            sorted(map(str, conn.execute(query.sql.encode(), params).fetchall())) for conn in arms
        )
        # LIMIT without a full order may pick other rows, never another number of them
        assert len(one) == len(other)
        if "LIMIT" not in query.sql:
            assert one == other


def test_the_planners_settings_are_the_defaults(
    arms: tuple[psycopg.Connection, psycopg.Connection],
) -> None:
    changed = arms[1].execute(
        "SELECT name FROM pg_settings WHERE category LIKE 'Query Tuning%' "
        "AND setting <> boot_val AND name <> 'jit'"
    )
    assert changed.fetchall() == []


def test_feeds_read_their_own_index_at_any_depth(
    arms: tuple[psycopg.Connection, psycopg.Connection],
) -> None:
    user = Population(USERS, SEED).rank_to_user(np.array([0]))[0]
    for feed in (USER_FEED, ALL_TASKS):
        params = {"size": 25, "created_at": NOW, "id": 1, "user_id": int(user)}
        if feed is ALL_TASKS:
            params |= {"created_at": NOW.replace(year=2024)}
        plan = explain(arms[1], feed.keyset_sql, params)
        assert plan.index_names == (feed.index,)
        assert plan.shared_hit + plan.shared_read < 60
