"""The DDL of a user's *after* arm: run statement by statement, with what each costs."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg

from perflab.database.index_builder import BuildReport, Built
from perflab.progress import Step
from perflab.workload import Statement, Workload, run_statements

_RELATIONS = """
    SELECT c.oid, c.relname, c.relkind = 'i', pg_relation_size(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm', 'i') AND n.nspname !~ '^(pg_|information_schema$)'
"""
_NAME_LENGTH = 60


def apply_changes(conninfo: str, workload: Workload, step: Step) -> BuildReport:
    """Run the workload's DDL in a database; a ConfigError names the statement that failed.

    One entry a statement: named after the index that it made, where it made one, else by its
    own words. The size is what its relations gained; the WAL is the whole server's meanwhile.
    """
    built: list[Built] = []
    total = len(workload.after)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for number, statement in enumerate(workload.after):
            step(statement.text[:_NAME_LENGTH], number, total)
            built.append(_apply(conn, statement, workload.after_source))
    step("", total, total)
    return BuildReport(built=tuple(built))


def _apply(conn: psycopg.Connection, statement: Statement, source: Path) -> Built:
    relations = _relations(conn)
    lsn = _scalar(conn, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
    started = time.perf_counter()
    run_statements(conn, [statement], source)
    build_s = time.perf_counter() - started
    wal = _scalar(conn, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')") - lsn
    now = _relations(conn)
    indexes = [
        name for oid, (name, is_index, _) in now.items() if is_index and oid not in relations
    ]
    gained = sum(size for *_, size in now.values()) - sum(size for *_, size in relations.values())
    words = statement.text
    name = words if len(words) <= _NAME_LENGTH else words[: _NAME_LENGTH - 1] + "…"
    return Built(indexes[0] if len(indexes) == 1 else name, build_s, gained, wal)


def _relations(conn: psycopg.Connection) -> dict[int, tuple[str, bool, int]]:
    return {row[0]: (row[1], row[2], row[3]) for row in conn.execute(_RELATIONS).fetchall()}


def _scalar(conn: psycopg.Connection, statement: str) -> int:
    row = conn.execute(statement.encode()).fetchone()
    return int(row[0]) if row else 0
