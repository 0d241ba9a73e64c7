"""What is tried once before it is timed, and left out for what it does."""

from __future__ import annotations

import psycopg
import pytest

from perflab.advisor.settings import with_settings
from perflab.advisor.timed import trial
from perflab.advisor.workload import parse_workload


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT id FROM orders WHERE total = 3 -- in words", ""),
        ("VALUES (1), (2)", ""),
        ("SELECT FROM orders", ""),
        ("SELECT id, id FROM orders", ""),
        ("WITH x AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM x", ""),
        ("INSERT INTO customers SELECT n, 'x', 'de' FROM generate_series(5001, 5010) n", ""),
        ("SELECT total / 0 FROM orders", "a value does not fit its type"),
        ("INSERT INTO customers VALUES (1, 'x', 'de')", "duplicate key value violates"),
        ("SELECT a.id FROM orders a CROSS JOIN orders b", "it returns more than 100,000 rows"),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT n FROM r",
            "it returns more than 100,000 rows",
        ),
        ("SELECT repeat('x', 70000000)", "it returns more than 64 MiB"),
    ],
)
def test_a_statement_is_tried_and_taken_back(shop: str, text: str, reason: str) -> None:
    found = trial(shop, parse_workload(text).statements)

    assert found == ({"statement_1": found["statement_1"]} if reason else {})
    assert found.get("statement_1", "").startswith(reason)
    assert len(found.get("statement_1", "").splitlines()) <= 1
    with psycopg.connect(shop) as conn:
        assert conn.execute("SELECT count(*) FROM orders").fetchone() == (20000,)
        assert conn.execute("SELECT count(*) FROM customers").fetchone() == (4000,)


def test_a_statement_that_takes_too_long_is_told_so(shop: str) -> None:
    text = "SELECT count(*) FROM orders a CROSS JOIN orders b CROSS JOIN orders c"
    conninfo = with_settings(shop, statement_timeout="200")

    assert trial(conninfo, parse_workload(text).statements) == {
        "statement_1": "canceling statement due to statement timeout"
    }
