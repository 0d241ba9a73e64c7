"""Plain EXPLAIN: what a statement would cost and how, without running it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import psycopg

from perflab.advisor.sql import parameters
from perflab.database.plans import Plan, parse_plan

GENERIC_PLAN = 160000
"""The first server version whose EXPLAIN takes statements with ``$n`` as they are."""


class Estimate(msgspec.Struct, frozen=True):
    """What the planner expects of a statement."""

    cost: float
    """In the planner's units, of which reading a page in order is one."""
    plan: Plan


@contextmanager
def looking(conn: psycopg.Connection, timeout_s: float = 5.0) -> Iterator[None]:
    """A transaction that can change nothing and whose statements end in time.

    It is rolled back at the end. The connection must be in no transaction.
    """
    with conn.transaction(force_rollback=True):
        conn.execute("SET TRANSACTION READ ONLY")
        timeout = f"{round(timeout_s * 1000)}ms"
        for name in ("statement_timeout", "lock_timeout"):
            conn.execute("SELECT set_config(%s, %s, true)", [name, timeout])
        yield


def estimate(conn: psycopg.Connection, text: str) -> Estimate:
    """The plan of one statement with its values, or of one with ``$n``: the generic plan.

    Before PostgreSQL 16 a statement with ``$n`` is prepared for as long as it takes to look at
    its generic plan. Raises psycopg.Error where the server refuses; call it in a transaction
    block, which then goes on as if nothing had been asked.
    """
    count = parameters(text)
    with conn.transaction():
        if count == 0:
            return _explained(conn, f"EXPLAIN (FORMAT JSON) {text}")
        if conn.info.server_version >= GENERIC_PLAN:
            return _explained(conn, f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {text}")
        return _prepared(conn, text, count)


def _prepared(conn: psycopg.Connection, text: str, count: int) -> Estimate:
    nulls = ", ".join(["NULL"] * count)
    conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    conn.execute(f"PREPARE perflab_look AS {text}".encode())
    try:
        return _explained(conn, f"EXPLAIN (FORMAT JSON) EXECUTE perflab_look({nulls})")
    finally:
        if conn.info.transaction_status != psycopg.pq.TransactionStatus.INERROR:
            conn.execute("DEALLOCATE perflab_look")


def _explained(conn: psycopg.Connection, statement: str) -> Estimate:
    row = conn.execute(statement.encode()).fetchone()
    if row is None:
        raise RuntimeError("EXPLAIN returned no row")
    document = row[0][0]
    return Estimate(float(document["Plan"]["Total Cost"]), parse_plan(document))


def fingerprint(plan: Plan) -> str:
    """Twelve digits that change with the shape of a plan and not with its figures."""
    scans = [(scan.node, scan.relation, scan.index) for scan in plan.scans]
    return hashlib.sha256(repr((plan.nodes, scans)).encode()).hexdigest()[:12]
