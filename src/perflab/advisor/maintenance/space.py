"""Dead and free space in tables and B-trees, counted by pgstattuple.

It reads them from end to end, so on a copy only.
"""

from __future__ import annotations

from contextlib import suppress

import psycopg

from perflab.advisor.maintenance.health import PAGE_BYTES, Health


def wasted_bytes(
    conn: psycopg.Connection, health: Health, least_bytes: float = 2**20
) -> dict[str, float]:
    """Bytes of dead rows and free space beyond what the fillfactor leaves, by table or index.

    Empty where the server has no pgstattuple or this role may not create it. What is smaller than
    ``least_bytes`` is not looked at.
    """
    refused = (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile)
    with suppress(*refused, psycopg.errors.InsufficientPrivilege):
        conn.execute("CREATE EXTENSION IF NOT EXISTS pgstattuple")
        tables = {
            table.name: _wasted(conn, table.name) - (1 - table.fillfactor / 100) * size
            for table in health.tables
            if (size := table.pages_now * PAGE_BYTES) >= least_bytes
        }
        indexes = {
            index.name: _wasted_in_index(conn, index.name, index.fillfactor)
            for index in health.indexes
            if index.pages_now * PAGE_BYTES >= least_bytes
        }
        return tables | indexes
    return {}


def _wasted(conn: psycopg.Connection, name: str) -> float:
    row = conn.execute(
        "SELECT dead_tuple_len + free_space FROM pgstattuple(%s::regclass)", [name]
    ).fetchone()
    return float(row[0]) if row else 0.0


def _wasted_in_index(conn: psycopg.Connection, name: str, fillfactor: int) -> float:
    """Of pages that hold nothing, and of leaves as far as they are emptier than a new index's."""
    row = conn.execute(
        "SELECT empty_pages + deleted_pages, leaf_pages, nullif(avg_leaf_density, 'NaN')"
        " FROM pgstatindex(%s::regclass)",
        [name],
    ).fetchone()
    if row is None:
        return 0.0
    idle, leaves, density = row
    emptiness = 0.0 if density is None else max(0.0, 1 - float(density) / fillfactor)
    return PAGE_BYTES * (float(idle) + float(leaves) * emptiness)
