"""Indexes that are there, each left out in turn on a copy."""

from __future__ import annotations

import secrets

import psycopg
import pytest

from perflab.advisor.catalog import read_catalog
from perflab.advisor.existing import idle_indexes
from perflab.advisor.returns import Return, measure_returns
from perflab.advisor.timed import timed_statement
from perflab.advisor.workload import parse_workload
from perflab.database.own import Databases
from perflab.profiles import AdvisorSizes
from perflab.report.tables import Table
from perflab.services import Postgres
from perflab.studies.advisor.views.returns import returns_table

from .conftest import SHOP

SIZES = AdvisorSizes(users=1, examples=1, rounds=20, calls=1, write_rows=50, write_rounds=20)
INDEXES = (
    SHOP
    + """
    CREATE INDEX good ON orders (customer_id);
    CREATE INDEX idle ON orders (filler);
    CREATE INDEX newest ON orders (placed_at);
    CREATE INDEX fast_labels ON orders USING gin (labels);
    CREATE UNIQUE INDEX promise ON customers (email);
    UPDATE orders SET labels = ARRAY['odd'] WHERE id <= 600;
    CREATE SCHEMA "Back";
    CREATE TABLE "Back".room AS SELECT n, n % 900 AS kind FROM generate_series(1, 30000) n;
    CREATE INDEX "Room kind" ON "Back".room (kind);
    VACUUM ANALYZE;
"""
)
WORKLOAD = """
    -- name: of_customer
    SELECT total FROM orders WHERE customer_id = 77;
    -- name: odd_ones
    SELECT id FROM orders WHERE labels @> ARRAY['odd'] ORDER BY placed_at DESC LIMIT 5;
    -- name: rooms
    SELECT n FROM "Back".room WHERE kind = 7;
"""


def definitions(conninfo: str) -> set[str]:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        return {i.definition for table in read_catalog(conn).tables for i in table.indexes}


@pytest.fixture(scope="module")
def returned(postgres: Postgres) -> dict[str, Return]:
    databases = Databases(postgres)
    label = f"returns_{secrets.token_hex(3)}"
    try:
        with psycopg.connect(databases.create(label), autocommit=True) as conn:
            for statement in INDEXES.split(";"):
                conn.execute(statement.encode())
            catalog = read_catalog(conn)
        full, without = databases.conninfo(label), databases.clone(label, f"{label}_without")
        statements = parse_workload(WORKLOAD).statements
        timed = [one for s in statements if (one := timed_statement(s))]

        found = measure_returns(
            full, without, timed, statements, catalog, idle_indexes(catalog), SIZES, 1
        )

        assert definitions(full) == definitions(without)
        return {one.index.bare: one for one in found}
    finally:
        databases.close()


def test_every_index_that_keeps_no_promise_is_judged(returned: dict[str, Return]) -> None:
    assert set(returned) == {"good", "idle", "newest", "fast_labels", "Room kind"}


@pytest.mark.parametrize(("name", "statement"), [("good", "of_customer"), ("Room kind", "rooms")])
def test_an_index_that_a_statement_misses_earns(
    returned: dict[str, Return], name: str, statement: str
) -> None:
    assert returned[name].finding == "earns"
    assert returned[name].faster == (statement,)
    assert returned[name].index.size_bytes > 0


def test_an_index_that_nothing_uses_costs_all_the_same(returned: dict[str, Return]) -> None:
    idle = returned["idle"]

    assert (idle.finding, idle.fault, idle.serves) == ("no statement uses it", "unused", {})
    assert idle.wal_bytes > 30  # an entry of 60 bytes a row


def test_an_index_that_misleads_the_planner_is_found(returned: dict[str, Return]) -> None:
    """All that carry the label are old: newest first, the planner reads nearly all orders."""
    assert returned["newest"].finding == "misleads"
    assert returned["newest"].slower == ("odd_ones",)


def test_what_returns_nothing_stands_first(returned: dict[str, Return]) -> None:
    table = returns_table(tuple(returned.values()))

    assert isinstance(table, Table)
    assert table.raw["index"].tolist()[:2] == ["newest", "idle"]
    assert table.title.startswith("2 of 5 indexes earn")
