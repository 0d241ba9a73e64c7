"""Values for statements that a server keeps without, drawn from rows of a copy."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from perflab.advisor.catalog import Catalog, read_catalog
from perflab.advisor.drawn import WIDEST, Drawer
from perflab.advisor.workload import Statement


@pytest.fixture(scope="module")
def conn(shop: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(shop, autocommit=True) as opened:
        yield opened


def drawn(
    conn: psycopg.Connection, catalog: Catalog, text: str, examples: int = 4, seed: int = 1
) -> Statement:
    found = Drawer(conn, catalog, seed).with_values(Statement("s", text), examples)
    conn.execute("DISCARD TEMP")
    assert found.text == text
    return found


def rows_of(conn: psycopg.Connection, example: str) -> int:
    assert "$" not in re.sub(r"'[^']*'", "", example)
    with conn.transaction(force_rollback=True):
        return conn.execute(example.encode()).rowcount


@pytest.mark.parametrize(
    "text",
    [
        "SELECT total FROM orders WHERE customer_id = $1 AND state = $2 LIMIT $3 OFFSET $4",
        "SELECT c.id FROM customers c JOIN orders o ON o.customer_id = c.id"
        " WHERE $1 = o.total AND o.state = $2",
        "SELECT id FROM orders WHERE customer_id = ANY($1) AND state IN ($2, $3)",
        "SELECT id FROM orders WHERE id = ANY(ARRAY[$1, $2]) OR $3 = ANY(labels)",
        "SELECT id FROM orders o WHERE labels = $1::text[]",
        "SELECT id FROM orders WHERE labels @> $1 AND notes @> $2::jsonb",
        "UPDATE orders SET total = $1, filler = filler || $2 WHERE id = $3",
        "DELETE FROM orders WHERE placed_at = $1",
        "SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE email = $1)",
        "SELECT id FROM orders WHERE EXISTS"
        " (SELECT FROM customers WHERE id = customer_id AND lower(email) = lower($1))",
        'SELECT "order" FROM "Odd Names" WHERE "order" = $1',
        "SELECT total FROM orders WHERE customer_id = $1 AND placed_at > $2",
        "SELECT total FROM orders WHERE placed_at > now() - CAST($1 AS interval) AND state = $2",
        "SELECT id FROM orders WHERE placed_at >= now()::date - $1::int * CAST($2 AS interval)",
        "SELECT id FROM orders WHERE placed_at < $1::timestamptz + CAST($2 AS interval)",
        "SELECT id FROM orders WHERE placed_at > CAST($1 AS interval) + $2::timestamptz",
        "SELECT id FROM orders WHERE placed_at::date = $1",
        "SELECT 1 FROM orders WHERE EXISTS (SELECT FROM customers WHERE id = $1 AND email = $2)",
        "SELECT id FROM orders WHERE id = $1::bigint * $2::bigint + $3::bigint",
        "SELECT id FROM orders WHERE (placed_at, id) < ($1, $2) ORDER BY 1 DESC LIMIT $3",
        "SELECT id FROM orders WHERE (customer_id, state) IN (($1, $2), ($3, $4))",
        "SELECT id FROM customers WHERE email LIKE $1",
        "SELECT id FROM customers WHERE email ILIKE $1 || $2",
        "SELECT date_trunc($1, placed_at), coalesce(sum(total), $2), sum(CASE WHEN state = $3"
        " THEN $4 ELSE $5 END), to_char(max(placed_at), $6) FROM orders GROUP BY date_trunc($1,"
        " placed_at)",
        "SELECT round(avg(total), $1), string_agg(state, $2) FROM orders GROUP BY customer_id"
        " HAVING count(*) > $3 AND percentile_cont($4) WITHIN GROUP (ORDER BY total) > 1",
        "WITH late AS (SELECT id FROM orders WHERE placed_at > $1) SELECT $2 FROM late",
        "INSERT INTO customers (id, email, country) VALUES ($1, $2, $3), ($4, $5, $6)"
        " ON CONFLICT (id) DO UPDATE SET country = $7",
        'INSERT INTO "Odd Names" VALUES ($1, $2)',
    ],
)
def test_each_example_finds_rows(conn: psycopg.Connection, catalog: Catalog, text: str) -> None:
    found = drawn(conn, catalog, text)

    assert found.valueless == ""
    assert 1 <= len(found.examples) <= 4
    assert all(rows_of(conn, example) > 0 for example in found.examples)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT id FROM nowhere WHERE id = $1", "$1 stands beside no column"),
        ("SELECT id FROM orders WHERE id = $1 AND now() > CAST($2 AS date)", "$2 (date) stands"),
        ("SELECT id FROM orders WHERE notes ->> $1 = $2", "$1 stands beside no column"),
        ("SELECT id FROM orders GROUP BY id HAVING sum(total) > $1", "$1 stands beside no column"),
        ("SELECT id FROM orders o, customers c WHERE o.id + c.id = $1", "$1 stands beside no"),
        ("WITH orders AS (SELECT 1 AS id) SELECT id FROM orders WHERE id = $1", "$1 stands"),
    ],
)
def test_where_a_place_says_nothing_the_statement_stays_and_says_why(
    conn: psycopg.Connection, catalog: Catalog, text: str, reason: str
) -> None:
    found = drawn(conn, catalog, text)

    assert found.examples == ()
    assert reason in found.valueless


def test_what_has_its_values_is_left_alone(conn: psycopg.Connection, catalog: Catalog) -> None:
    found = drawn(conn, catalog, "SELECT id FROM orders WHERE total = 3")

    assert (found.examples, found.valueless) == ((), "")


def test_parameters_of_one_table_come_from_one_row(
    conn: psycopg.Connection, catalog: Catalog
) -> None:
    found = drawn(conn, catalog, "SELECT id FROM orders WHERE id = $1 AND total = $2", 10)

    pairs = [re.findall(r"'(\d+)'", example) for example in found.examples]
    assert len(pairs) > 5
    assert all(int(number) % 500 == int(total) for number, total in pairs)


def test_members_of_a_list_differ(conn: psycopg.Connection, catalog: Catalog) -> None:
    shortened = ("id IN ($1 /*, ... */)", "id = ANY(ARRAY[$7 /*, ... */])")
    for text in ("id IN ($1, $2, $3)", "id = ANY($1)", *shortened):
        (example,) = drawn(conn, catalog, f"SELECT id FROM orders WHERE {text}", 1).examples
        assert rows_of(conn, example) == 3


def test_common_values_come_as_often_as_they_are_common(
    conn: psycopg.Connection, catalog: Catalog
) -> None:
    text = "SELECT id FROM orders WHERE state = $1 AND id = $2"
    examples = drawn(conn, catalog, text, 60).examples

    assert sum("'open'" in example for example in examples) < 10  # one row in 40 is
    assert len(examples) > 55


@pytest.mark.parametrize(
    "condition",
    [
        "placed_at > $1",
        "$1 >= placed_at",
        "placed_at BETWEEN $1 AND $2",
        "placed_at >= $1 AND placed_at < $2",
        "placed_at <= $2 AND $1 < placed_at",
        "placed_at > now() - CAST($1 AS interval)",
        "placed_at > $1::timestamptz AND placed_at < $2::timestamptz + CAST($3 AS interval)",
    ],
)
def test_ranges_are_in_order_and_let_through_a_share_of_the_rows(
    conn: psycopg.Connection, catalog: Catalog, condition: str
) -> None:
    found = drawn(conn, catalog, f"SELECT id FROM orders WHERE {condition}", 20)

    counts = sorted(rows_of(conn, example) for example in found.examples)
    # of a sample of half the rows; the next row has to be let in or left out
    assert 0.5 * 20 < counts[0] < counts[-1] < 1.1 * WIDEST * 20_000
    assert counts[-1] > 5 * counts[0]


def test_one_seed_draws_the_same_and_another_one_others(
    conn: psycopg.Connection, catalog: Catalog
) -> None:
    text = "SELECT id FROM orders WHERE customer_id = $1 AND placed_at > $2"
    first = drawn(conn, catalog, text)

    assert drawn(conn, catalog, text) == first
    assert drawn(conn, catalog, text, seed=2) != first


def test_a_column_of_nulls_and_a_type_without_order_have_a_reason(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as own:
        own.execute("CREATE TABLE t AS SELECT n, NULL::int AS a, point(n, n) AS p"
                    " FROM generate_series(1, 300) n; ANALYZE t")  # fmt: skip
        catalog = read_catalog(own)

        nulls = drawn(own, catalog, "SELECT 1 FROM t WHERE a = $1")
        points = drawn(own, catalog, "SELECT 1 FROM t WHERE p > $1")

    assert nulls.valueless == "the copied rows have no value for it but NULL"
    assert points.valueless.startswith("values cannot be drawn: could not identify an ordering")


@pytest.mark.parametrize("kind", ["char(5)", "bit(5)", '"char"', "varchar(9)", "numeric(9, 2)"])
def test_a_width_is_kept(database: str, kind: str) -> None:
    with psycopg.connect(database, autocommit=True) as own:
        own.execute(f"CREATE TABLE t AS SELECT '101'::{kind} AS a FROM generate_series(1, 9)"
                    .encode())  # fmt: skip
        own.execute("ANALYZE t")
        (example,) = drawn(own, read_catalog(own), "SELECT 1 FROM t WHERE a = $1", 1).examples

        assert rows_of(own, example) == 9


def test_a_value_with_a_quote_is_no_way_out(database: str) -> None:
    hostile = "a'; DROP TABLE t; -- \\ {} {0} %s %_ $1"
    with psycopg.connect(database, autocommit=True) as own:
        own.execute("CREATE TABLE t (a text)")
        own.execute("INSERT INTO t SELECT %s FROM generate_series(1, 300)", [hostile])
        own.execute("ANALYZE t")
        catalog = read_catalog(own)
        for condition in ("a = $1", "a LIKE $1", "a >= $1", "a = ANY($1)", "a = $1 || $2"):
            for example in drawn(own, catalog, f"SELECT 1 FROM t WHERE {condition}", 2).examples:
                assert own.execute(example.encode()).rowcount == 300
