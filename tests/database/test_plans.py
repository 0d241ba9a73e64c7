"""EXPLAIN's JSON as a typed plan."""

from __future__ import annotations

import json

import psycopg

from perflab.database.plans import explain, parse_plan

DOCUMENT = {
    "Plan": {
        "Node Type": "Aggregate",
        "Actual Rows": 1,
        "Actual Loops": 1,
        "Shared Hit Blocks": 7,
        "Shared Read Blocks": 2,
        "Plans": [
            {
                "Node Type": "Bitmap Heap Scan",
                "Relation Name": "notes",
                "Actual Rows": 3.5,
                "Actual Loops": 2,
                "Rows Removed by Filter": 4,
                "Plans": [
                    {
                        "Node Type": "Bitmap Index Scan",
                        "Index Name": "idx_notes_tags",
                        "Actual Rows": 9,
                        "Actual Loops": 1,
                    }
                ],
            },
            {
                "Node Type": "Seq Scan",
                "Parallel Aware": True,
                "Relation Name": "tasks",
                "Actual Rows": 5,
                "Actual Loops": 3,
            },
            {"Node Type": "Function Scan", "Actual Rows": 1, "Actual Loops": 1},
        ],
    },
    "Planning Time": 0.25,
    "Execution Time": 1.5,
    "Settings": {"jit": "off"},
}


def test_a_plan_names_its_indexes_and_the_tables_it_reads_whole() -> None:
    plan = parse_plan(DOCUMENT)
    assert plan.index_names == ("idx_notes_tags",)
    assert plan.sequential == ("tasks",)
    assert plan.summary == (
        "Bitmap Heap Scan (notes), Bitmap Index Scan (idx_notes_tags), Parallel Seq Scan (tasks)"
    )
    assert (plan.shared_hit, plan.shared_read) == (7, 2)
    assert (plan.planning_ms, plan.execution_ms) == (0.25, 1.5)
    assert plan.settings == {"jit": "off"}
    assert json.loads(plan.text) == DOCUMENT


def test_rows_count_all_loops() -> None:
    heap, index, tasks = parse_plan(DOCUMENT).scans
    assert (heap.rows, heap.removed) == (7.0, 8.0)
    assert index.rows == 9.0
    assert tasks.rows == 15.0


def test_a_server_explains_with_and_without_running(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(
            "CREATE TABLE t AS SELECT g AS id, g % 10 AS k FROM generate_series(1, 5000) g"
        )
        conn.execute("CREATE INDEX t_id ON t (id)")
        conn.execute("VACUUM ANALYZE t")
        conn.execute("SET enable_bitmapscan = off")
        sql = "SELECT k FROM t WHERE id = %(id)s"
        plan = explain(conn, sql, {"id": 7})
        assert plan.index_names == ("t_id",)
        assert plan.rows == 1.0
        assert plan.execution_ms > 0
        assert plan.shared_hit + plan.shared_read > 0
        assert plan.settings["enable_bitmapscan"] == "off"
        estimated = explain(conn, "SELECT k FROM t WHERE k = %(k)s", {"k": 3}, analyze=False)
        assert estimated.sequential == ("t",)
        assert estimated.execution_ms == 0


def test_explain_changes_nothing_unless_told_to_run(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE TABLE t (id int)")
        explain(conn, "INSERT INTO t VALUES (%(id)s)", {"id": 1}, analyze=False)
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (0,)
