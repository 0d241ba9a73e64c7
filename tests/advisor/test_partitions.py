"""Partitioned tables: copied whole, advised on as one, with statements that PostgreSQL takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import psycopg
import pytest

from databases import own_database
from perflab.advisor.candidates import Candidate
from perflab.advisor.catalog import read_catalog
from perflab.advisor.copying.catalogs import read_shape
from perflab.advisor.copying.making import make_tables
from perflab.advisor.copying.sampling import plan_parts
from perflab.advisor.copying.shape import with_parents
from perflab.advisor.copying.transfer import Extent, fill
from perflab.advisor.copying.witness import compared, observe
from perflab.advisor.existing import idle_indexes
from perflab.advisor.explain import estimate
from perflab.advisor.partitions import folded, statements_for
from perflab.advisor.selection import Limits
from perflab.advisor.workload import parse_workload
from perflab.profiles import AdvisorSizes
from perflab.services import Postgres
from perflab.studies.advisor.copied import Copied, CopyLimits, advise_on_copy

SIZES = AdvisorSizes(users=1, examples=1, rounds=20, calls=1, write_rows=50, write_rounds=20)
SALES = """
    CREATE SCHEMA sales;
    CREATE TABLE sales.clients (id int PRIMARY KEY, name text, pad text);
    INSERT INTO sales.clients SELECT n, 'n' || n, repeat('x', 99) FROM generate_series(1, 3000) n;
    CREATE TABLE sales.orders (
        id bigint, client int REFERENCES sales.clients, placed date NOT NULL, total int,
        note text CHECK (length(note) < 50), PRIMARY KEY (id, placed)) PARTITION BY RANGE (placed);
    CREATE TABLE sales.orders_2024 PARTITION OF sales.orders
        FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (id, placed);
    CREATE TABLE sales.orders_2024_0 PARTITION OF sales.orders_2024
        FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE sales."Orders 2024, 1" PARTITION OF sales.orders_2024
        FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE sales.orders_2025 PARTITION OF sales.orders
        FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE sales.orders_rest PARTITION OF sales.orders DEFAULT;
    INSERT INTO sales.orders SELECT n, 1 + n * 7 % 3000, date '2024-01-01' + n % 800, n % 1000,
        'note ' || n FROM generate_series(1, 30000) n;
    CREATE INDEX orders_total ON sales.orders (total);
    CREATE INDEX rest_note ON sales.orders_rest (note);
    CREATE TABLE sales.kinds (kind text, v int) PARTITION BY LIST (kind);
    CREATE TABLE sales.kinds_ab PARTITION OF sales.kinds FOR VALUES IN ('a', 'b');
    ANALYZE;
"""
ROWS = "SELECT tableoid::regclass::text, count(*) FROM sales.orders GROUP BY 1 ORDER BY 1"


def load(database: str, script: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(script.encode())


@pytest.fixture
def into(postgres: Postgres) -> Iterator[str]:
    """An empty database for the copy."""
    with own_database(postgres, "into") as conninfo:
        yield conninfo


@pytest.fixture
def sales(database: str) -> str:
    """A database with partitioned tables."""
    load(database, SALES)
    return database


def copied(database: str, into: str, names: list[str], limit_bytes: int = 2**30) -> Extent:
    with (
        psycopg.connect(database, autocommit=True) as target,
        psycopg.connect(into, autocommit=True) as copy,
    ):
        shape = make_tables(copy, with_parents(read_shape(target), names))
        parts = plan_parts(shape.tables, limit_bytes)
        with target.transaction():
            return fill(target, copy, shape, parts, 1, limit_bytes, lambda *_: None)


def advised(database: str, postgres: Postgres, text: str) -> Copied:
    return advise_on_copy(
        database, parse_workload(text).statements, Limits(), CopyLimits(),
        lambda: nullcontext(postgres), SIZES, 1, lambda *_: None,
    )  # fmt: skip


def test_a_copy_has_the_same_partitions_rows_keys_and_indexes(sales: str, into: str) -> None:
    found = copied(sales, into, ["sales.orders", "sales.kinds"])

    assert found.left_out == ()
    assert found.copied == {"sales.clients": 3000, "sales.kinds": 0, "sales.orders": 30000}
    assert found.there == found.copied
    seen = []
    for conninfo in (sales, into):
        with psycopg.connect(conninfo, autocommit=True) as conn:
            tables = [
                (t.by, t.partitions, t.indexes, {(k.kind, k.definition) for k in t.keys})
                for t in read_shape(conn).tables
            ]
            seen.append((tables, conn.execute(ROWS).fetchall()))
    assert seen[0] == seen[1]


def test_a_sample_of_a_partitioned_table_keeps_its_foreign_key(sales: str, into: str) -> None:
    found = copied(sales, into, ["sales.orders"], 900_000)

    assert found.left_out == ()
    assert 0 < found.copied["sales.orders"] < 20_000
    assert found.there["sales.orders"] == 30_000
    with psycopg.connect(into, autocommit=True) as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"
            " AND conparentid = 0"
        ).fetchone()
    assert row == (1,)


def test_advice_is_measured_and_its_statements_make_a_valid_index_on_the_target(
    sales: str, postgres: Postgres
) -> None:
    text = (
        "-- name: mine\nSELECT * FROM sales.orders WHERE client = 77;"
        "-- name: old\nSELECT * FROM sales.orders_2024 WHERE client = 78;"
        "-- name: change\nUPDATE sales.orders SET total = 1 WHERE note = 'note 7'"
    )

    found = advised(sales, postgres, text)

    assert found.measured.unplanned == ()
    assert found.verdict is not None
    assert (found.verdict.changes, found.verdict.wrote) == ((), False)
    proof = found.measured.proof
    assert proof is not None
    kept = {one.choice.candidate.keys[0]: one for one in proof.kept}
    assert kept.keys() == {"client", "note"}
    assert {one.choice.candidate.table for one in proof.kept} == {"sales.orders"}
    assert {"mine", "old"} <= set(kept["client"].faster)
    assert kept["client"].built.size_bytes > 4 * 8192  # those of the partitions
    assert [cost.table for cost in proof.writes] == ["sales.orders"]
    catalog = found.measured.advice.catalog
    with psycopg.connect(sales, autocommit=True) as conn:
        for one in proof.kept:
            for statement in statements_for(one.choice.candidate, catalog):
                conn.execute(statement.encode())
        plan = estimate(conn, "SELECT * FROM sales.orders WHERE client = 77").plan
        state = conn.execute(
            "SELECT bool_and(indisvalid), count(*) FROM pg_index"
            " WHERE indrelid = 'sales.orders'::regclass"
        ).fetchone()
        notes = conn.execute(
            "SELECT count(*) FROM pg_indexes WHERE tablename = 'orders_rest'"
            " AND indexdef LIKE '%(note)'"
        ).fetchone()
    assert state == (True, 4)
    assert len(plan.index_names) == 4
    assert notes == (1,)  # the one that was there is attached


def test_a_partitions_index_that_the_whole_tables_would_bring_is_no_advice_of_its_own(
    sales: str,
) -> None:
    with psycopg.connect(sales, autocommit=True) as conn:
        catalog = read_catalog(conn)
    whole = Candidate("sales.orders", ("note",))
    leaf = Candidate("sales.orders_2024_0", ("note",))
    other = Candidate("sales.orders_2024_0", ("client",))

    found = folded({leaf: ("a",), whole: ("b",), other: ("c",)}, catalog)

    assert {one: set(served) for one, served in found.items()} == {whole: {"a", "b"}, other: {"c"}}


def test_an_attached_index_is_not_advised_to_go_and_the_whole_ones_statement_works(
    sales: str,
) -> None:
    with psycopg.connect(sales, autocommit=True) as conn:
        found = {one.name: one for one in idle_indexes(read_catalog(conn))}
        assert found.keys() == {"sales.orders_total", "sales.rest_note"}
        assert found["sales.orders_total"].size_bytes > 4 * 8192
        for one in found.values():
            conn.execute(one.ddl.encode())


def test_each_index_of_a_partitioned_table_is_left_out_in_turn(
    sales: str, postgres: Postgres
) -> None:
    found = advised(sales, postgres, "-- name: cheap\nSELECT id FROM sales.orders WHERE total = 7")

    returns = {one.index.name: one for one in found.returns}
    assert returns.keys() == {"sales.orders_total", "sales.rest_note"}
    assert returns["sales.orders_total"].faster == ("cheap",)
    assert returns["sales.orders_total"].wal_bytes > 0


def test_what_others_change_in_a_partition_is_told(sales: str) -> None:
    with psycopg.connect(sales, autocommit=True) as conn:
        parts = plan_parts(with_parents(read_shape(conn), ["sales.orders"]).tables, 2**30)
        before = observe(conn, parts, 1)
        with psycopg.connect(sales, autocommit=True) as other:
            other.execute("DELETE FROM sales.orders_2025 WHERE id < 900")
            other.execute("SELECT pg_stat_force_next_flush()")
            other.execute("SELECT 1")
        after = observe(conn, parts, 1)

    (change,) = compared(before, after).changes
    assert change.startswith("sales.orders +")
    assert change.endswith(" deleted")


def test_a_table_with_a_partition_on_another_server_is_left_out_with_its_reason(
    sales: str, postgres: Postgres
) -> None:
    load(
        sales,
        "CREATE FOREIGN DATA WRAPPER away; CREATE SERVER away FOREIGN DATA WRAPPER away;"
        "CREATE FOREIGN TABLE sales.kinds_c PARTITION OF sales.kinds FOR VALUES IN ('c')"
        " SERVER away; CREATE FOREIGN TABLE sales.far (x int) SERVER away",
    )

    found = advised(
        sales, postgres,
        "-- name: kinds\nSELECT v FROM sales.kinds WHERE v = 1;"
        "-- name: far\nSELECT x FROM sales.far;"
        "-- name: mine\nSELECT name FROM sales.clients WHERE name = 'n7'",
    )  # fmt: skip

    assert [str(one) for one in found.measured.unplanned] == [
        "kinds: sales.kinds is not in the copy: its partition sales.kinds_c is a foreign table",
        "far: sales.far is not in the copy: a foreign table: its rows are on another server",
    ]
    assert [one.name for one in found.measured.advice.statements] == ["mine"]
