"""Small tables of the lab's own: what the sections about connections need in any arm."""

from __future__ import annotations

import psycopg
from sqlalchemy.schema import CreateTable

from perflab.schema.query import DIALECT
from perflab.schema.tables import idempotency_keys

ROWS = 1_000
LOOKUP = "SELECT id, title FROM perflab.lookup WHERE id = %(id)s"
"""A primary-key lookup in any arm, whatever schema it holds."""


def make_own_tables(conninfo: str) -> None:
    """Make the table of ``LOOKUP``, and the one in which a :class:`Pool` remembers its writes.

    The first is in a schema of its own, so that it is in no workload's way.
    """
    keys = str(CreateTable(idempotency_keys, if_not_exists=True).compile(dialect=DIALECT))
    with psycopg.connect(conninfo) as conn:
        conn.execute("CREATE SCHEMA IF NOT EXISTS perflab")
        conn.execute(
            "CREATE TABLE IF NOT EXISTS perflab.lookup (id bigint PRIMARY KEY, title text NOT NULL)"
        )
        conn.execute(
            "INSERT INTO perflab.lookup SELECT n, 'row ' || n FROM generate_series(1, %s) n"
            " ON CONFLICT DO NOTHING",
            [ROWS],
        )
        conn.execute(keys.encode())
        conn.execute("ANALYZE perflab.lookup")
