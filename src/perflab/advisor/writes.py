"""What indexes cost whoever writes: rows of a table replaced, timed and their WAL counted.

Every statement takes rows out and puts the same rows in again, so it pays for a new entry in
every index, and is rolled back. It needs to know nothing of the table's meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import psycopg
from psycopg import sql

from perflab.advisor.catalog import TableFacts
from perflab.advisor.heap_only import HeapOnly
from perflab.database.session import Session
from perflab.measure.comparison import Comparison
from perflab.measure.experiment import Draw, Params

_LOOKS = 5
"""How often WAL is counted; the least is without the full pages that follow a checkpoint."""


@dataclass(frozen=True)
class WriteCost:
    """One table whose rows were replaced with the old indexes and with the new ones as well."""

    table: str
    comparison: Comparison
    wal_before: float
    """Bytes a row."""
    wal_after: float
    hot_before: HeapOnly
    """Which updates are heap-only."""
    hot_after: HeapOnly

    @property
    def no_longer_hot(self) -> tuple[str, ...]:
        """Columns whose updates the new indexes make write to every index of the table."""
        return self.hot_after.lost_since(self.hot_before)


@dataclass(frozen=True)
class Replacement:
    """The statement that replaces some rows of one table."""

    table: str
    text: str
    pages: int
    """8 kB pages of the table."""
    span: int
    """Pages whose rows are replaced."""

    def draw(self, rng: np.random.Generator) -> Draw:
        """Somewhere in the table."""
        first = int(rng.integers(max(1, self.pages - self.span)))
        return Draw({"first": f"({first},0)", "last": f"({first + self.span},0)"})

    def run(self, session: Session, params: Params) -> int:
        """Replace them and take it back."""
        with session.conn.transaction(force_rollback=True):
            return session.write(self.text, params)


def replacement(conninfo: str, table: TableFacts, rows: int) -> Replacement:
    """A replacement of about ``rows`` rows of a table."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        found = conn.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            [table.name],
        ).fetchall()
        columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in found)
        text = sql.SQL(
            "WITH taken AS (DELETE FROM {table} WHERE ctid >= %(first)s::tid"
            " AND ctid < %(last)s::tid RETURNING *)"
            " INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM taken"
        ).format(table=sql.SQL(table.name), columns=columns)
        rows_a_page = max(1.0, table.rows / max(1, table.pages))
        span = max(1, min(table.pages, round(rows / rows_a_page)))
        return Replacement(table.name, text.as_string(conn), max(1, table.pages), span)


def wal_per_row(conn: psycopg.Connection, what: Replacement) -> float:
    """Bytes of WAL for each row replaced."""
    rng, seen = np.random.default_rng(0), []
    with psycopg.ClientCursor(conn) as cursor:
        for _ in range(_LOOKS):
            with conn.transaction(force_rollback=True):
                explain = f"EXPLAIN (ANALYZE, WAL, TIMING OFF, FORMAT JSON) {what.text}"
                row = cursor.execute(explain.encode(), what.draw(rng).params).fetchone()
            plan = row[0][0]["Plan"] if row else {}
            taken = plan["Plans"][0]["Actual Rows"] if plan else 0
            if taken:
                seen.append(plan.get("WAL Bytes", 0) / taken)
    return min(seen, default=float("nan"))
