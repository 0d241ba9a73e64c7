from __future__ import annotations

import psycopg

from perflab.advisor.catalog import read_catalog
from perflab.advisor.existing import idle_indexes


def test_idle_indexes_are_named_with_their_fault_and_kept_promises_are_not(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        for statement in (
            "CREATE TABLE t (id int PRIMARY KEY, a int, b int, c text UNIQUE, EXCLUDE (id WITH =))",
            "INSERT INTO t SELECT n, n, n % 5, n::text FROM generate_series(1, 2000) n",
            "CREATE INDEX t_used ON t (b)",
            "CREATE INDEX t_twin ON t (b)",
            "CREATE INDEX t_wide ON t (a, b)",
            "CREATE INDEX t_narrow ON t (a)",
            "CREATE INDEX t_narrow_desc ON t (a DESC)",
            "CREATE INDEX t_part ON t (a) WHERE b = 1",
            "CREATE INDEX t_c ON t (c)",
            "CREATE UNIQUE INDEX t_promise ON t (a, id)",
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_narrow_desc'::regclass",
            "ANALYZE t",
        ):
            conn.execute(statement.encode())

        found = {idle.name: (idle.fault, idle.reason) for idle in idle_indexes(read_catalog(conn))}

        assert found == {
            "t_narrow_desc": (
                "invalid",
                "a build that failed; it serves nobody and costs writes",
            ),
            "t_used": ("duplicate", "the same as t_twin"),
            "t_c": ("duplicate", "the same as t_c_key"),
            "t_narrow": ("redundant", "t_promise begins with the same columns"),
            "t_twin": ("unused", "no scan since statistics were reset"),
            "t_wide": ("unused", "no scan since statistics were reset"),
            "t_part": ("unused", "no scan since statistics were reset"),
        }
        for idle in idle_indexes(read_catalog(conn)):
            conn.execute(idle.ddl.encode())


def test_an_index_that_was_scanned_is_not_unused(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE TABLE t AS SELECT n AS a FROM generate_series(1, 5000) n")
        conn.execute("CREATE INDEX t_a ON t (a)")
        conn.execute("ANALYZE t")
        assert [idle.name for idle in idle_indexes(read_catalog(conn))] == ["t_a"]

        conn.execute("SELECT * FROM t WHERE a = 7")
        conn.execute("SELECT pg_stat_force_next_flush()")

        assert idle_indexes(read_catalog(conn)) == ()
