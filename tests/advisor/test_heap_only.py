from __future__ import annotations

import psycopg

from perflab.advisor.catalog import read_catalog
from perflab.advisor.heap_only import HeapOnly, heap_only

TABLE = """
    CREATE TABLE t (id int PRIMARY KEY, a int, b int, c int, d int, always int, doc jsonb,
                    made int GENERATED ALWAYS AS (a * 2) STORED);
    INSERT INTO t SELECT n, n, n, n, n, 7, jsonb_build_object('n', n)
        FROM generate_series(1, 500) n;
    ANALYZE t;
"""


def looked(database: str, *statements: str) -> HeapOnly:
    with psycopg.connect(database, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())
        return heap_only(database, read_catalog(conn).by_name["t"])


def test_an_update_is_heap_only_unless_an_index_holds_what_changes(database: str) -> None:
    before = looked(database, TABLE)
    after = looked(
        database,
        "CREATE INDEX ON t (a) INCLUDE (b)",
        "CREATE INDEX ON t (id) WHERE c > 3",
        "CREATE INDEX ON t USING gin (doc)",
        "CREATE INDEX ON t USING brin (d)",
    )

    assert before.shares == dict.fromkeys(("a", "b", "c", "d", "doc"), 1.0)
    assert after.lost_since(before) == ("a", "b", "c", "doc")
    assert after.shares["d"] == 1.0  # BRIN may lag behind
    assert (before.mean, after.mean) == (1.0, 0.2)


def test_looking_leaves_nothing_behind(database: str) -> None:
    looked(database, TABLE)

    with psycopg.connect(database, autocommit=True) as conn:
        assert [table.name for table in read_catalog(conn).tables] == ["t"]
        assert conn.execute("SELECT sum(a), count(*) FROM t").fetchone() == (125_250, 500)
