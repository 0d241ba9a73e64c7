"""Dead and free space in tables, counted by pgstattuple: it reads them, so on a copy only."""

from __future__ import annotations

from contextlib import suppress

import psycopg

from perflab.advisor.maintenance.health import PAGE_BYTES, Health


def wasted_bytes(
    conn: psycopg.Connection, health: Health, least_bytes: float = 2**20
) -> dict[str, float]:
    """Bytes of dead rows and free space beyond what the fillfactor leaves, by table name.

    Empty where the server has no pgstattuple or this role may not create it. Tables under
    ``least_bytes`` are not looked at.
    """
    refused = (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile)
    with suppress(*refused, psycopg.errors.InsufficientPrivilege):
        conn.execute("CREATE EXTENSION IF NOT EXISTS pgstattuple")
        return {
            table.name: _wasted(conn, table.name) - (1 - table.fillfactor / 100) * size
            for table in health.tables
            if (size := table.pages_now * PAGE_BYTES) >= least_bytes
        }
    return {}


def _wasted(conn: psycopg.Connection, name: str) -> float:
    row = conn.execute(
        "SELECT dead_tuple_len + free_space FROM pgstattuple(%s::regclass)", [name]
    ).fetchone()
    return float(row[0]) if row else 0.0
