"""Values for statements that a server keeps without, drawn from rows of a copy."""

from __future__ import annotations

import re

import numpy as np
import psycopg
import pytest

from perflab.advisor.catalog import Catalog, read_catalog
from perflab.advisor.drawn import with_values
from perflab.advisor.workload import Statement


def drawn(shop: str, catalog: Catalog, text: str, examples: int = 4) -> Statement:
    with psycopg.connect(shop, autocommit=True) as conn:
        return with_values(conn, Statement("s", text), catalog, np.random.default_rng(1), examples)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT total FROM orders WHERE customer_id = $1 AND state = $2 LIMIT $3 OFFSET $4",
        "SELECT c.id FROM customers c JOIN orders o ON o.customer_id = c.id"
        " WHERE $1 = o.total AND o.state = $2",
        "SELECT id FROM orders WHERE customer_id = ANY($1) AND state IN ($2)",
        "SELECT id FROM orders o WHERE labels = $1::text[]",
        "UPDATE orders SET total = $1 WHERE id = $2",
        "DELETE FROM orders WHERE placed_at = $1",
        "SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE email = $1)",
        'SELECT "order" FROM "Odd Names" WHERE "order" = $1',
    ],
)
def test_each_example_finds_rows(shop: str, catalog: Catalog, text: str) -> None:
    found = drawn(shop, catalog, text)

    assert 1 <= len(found.examples) <= 4
    assert found.text == text
    with psycopg.connect(shop) as conn:
        for example in found.examples:
            assert "$" not in re.sub(r"'[^']*'", "", example)
            assert conn.execute(example.encode()).rowcount > 0
            conn.rollback()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT total FROM orders WHERE customer_id = $1 AND placed_at > $2",
        "SELECT id FROM orders WHERE placed_at BETWEEN $1 AND $2",
        "SELECT id FROM customers WHERE email LIKE $1",
        "SELECT id FROM customers WHERE lower(email) = $1",
        "SELECT id FROM nowhere WHERE id = $1",
        "SELECT $1 + total FROM orders WHERE id = $2",
        "SELECT a.id FROM orders a, customers b WHERE id = $1",
        "INSERT INTO orders VALUES ($1, $2)",
        "SELECT id FROM orders WHERE total = 3",
    ],
)
def test_where_a_place_says_nothing_the_statement_stays(
    shop: str, catalog: Catalog, text: str
) -> None:
    assert drawn(shop, catalog, text).examples == ()


def test_parameters_of_one_table_come_from_one_row(shop: str, catalog: Catalog) -> None:
    found = drawn(shop, catalog, "SELECT id FROM orders WHERE id = $1 AND total = $2", 10)

    pairs = [re.findall(r"'(\d+)'", example) for example in found.examples]
    assert len(pairs) > 5
    assert all(int(number) % 500 == int(total) for number, total in pairs)


def test_a_fixed_width_is_no_single_character(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE TABLE t AS SELECT 'abc'::char(5) AS a FROM generate_series(1, 300)")
        conn.execute("ANALYZE t")
        statement = Statement("s", "SELECT 1 FROM t WHERE a = $1")
        found = with_values(conn, statement, read_catalog(conn), np.random.default_rng(1), 1)

        assert len(conn.execute(found.examples[0].encode()).fetchall()) == 300


def test_a_value_with_a_quote_is_no_way_out(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(
            "CREATE TABLE t AS SELECT 'a''; DROP TABLE t; -- \\' AS a FROM generate_series(1, 300)"
        )
        conn.execute("ANALYZE t")
        catalog = read_catalog(conn)
        statement = Statement("s", "SELECT 1 FROM t WHERE a = $1")
        found = with_values(conn, statement, catalog, np.random.default_rng(1), 2)
        (example,) = found.examples

        assert len(conn.execute(example.encode()).fetchall()) == 300
