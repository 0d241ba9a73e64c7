"""Which updates stay heap-only: they write no index entry, and leave nothing for VACUUM in one.

PostgreSQL keeps an update heap-only where the page has room and no indexed column changed (of
BRIN indexes the columns may, since 16). An index so makes updates dearer that never look at it.
Counted by the server itself, column by column, on a small table that is made like the real one,
indexes included, with room in its pages, and rolled back.
"""

from __future__ import annotations

import msgspec
import psycopg
from psycopg import sql

from perflab.advisor.catalog import TableFacts

_ROWS = 60
_FILLFACTOR = 40
"""Room for a second version of each row in its page."""
_SCRATCH = sql.Identifier("perflab_heap_only")


class HeapOnly(msgspec.Struct, frozen=True):
    """Shares of heap-only updates of one table (``n_tup_hot_upd``), by the column that changes."""

    shares: dict[str, float]

    @property
    def mean(self) -> float:
        """Of all columns alike; how often each is updated is for others to say."""
        return sum(self.shares.values()) / len(self.shares) if self.shares else float("nan")

    def lost_since(self, before: HeapOnly) -> tuple[str, ...]:
        """Columns whose updates were heap-only before and are no longer."""
        had = before.shares
        return tuple(n for n, share in self.shares.items() if had.get(n, 0.0) > share + 0.5)


def heap_only(conninfo: str, table: TableFacts) -> HeapOnly:
    """Change each column of some rows; columns of a unique index are left out.

    So are columns that hold the same value in all of these rows, and generated ones.
    """
    shares = {}
    with psycopg.connect(conninfo, autocommit=True) as conn, conn.transaction(force_rollback=True):
        names = [str(name) for (name,) in conn.execute(_COLUMNS, {"table": table.name})]
        name = sql.SQL(table.name)
        conn.execute(_MAKE.format(_SCRATCH, name, sql.Literal(_FILLFACTOR)))
        columns = sql.SQL(", ").join(map(sql.Identifier, _stored(conn, table)))
        for column in names:
            conn.execute(sql.SQL("TRUNCATE {}").format(_SCRATCH))  # old versions take the room
            conn.execute(_FILL.format(_SCRATCH, columns, columns, name, sql.Literal(_ROWS)))
            before = _counted(conn)
            conn.execute(_CHANGE.format(table=_SCRATCH, column=sql.Identifier(column)))
            updated, hot = (now - was for now, was in zip(_counted(conn), before, strict=True))
            if updated:
                shares[column] = hot / updated
    return HeapOnly(shares)


def _stored(conn: psycopg.Connection, table: TableFacts) -> list[str]:
    return [str(name) for (name,) in conn.execute(_STORED, [table.name])]


def _counted(conn: psycopg.Connection) -> tuple[int, int]:
    row = conn.execute(_COUNTERS).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


_STORED = """
    SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0
    AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_COLUMNS = """
    SELECT attname FROM pg_attribute a WHERE attrelid = %(table)s::regclass AND attnum > 0
    AND NOT attisdropped AND attgenerated = '' AND NOT EXISTS (
        SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND a.attnum = ANY(i.indkey)
        AND (i.indisunique OR i.indisexclusion)) ORDER BY attnum
"""
_MAKE = sql.SQL(
    "CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING INDEXES)"
    " WITH (fillfactor = {}, autovacuum_enabled = off)"
)
_FILL = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} LIMIT {}")
_CHANGE = sql.SQL(
    "UPDATE {table} t SET {column} = n.other FROM (SELECT ctid AS place, lead({column}, 1,"
    " (SELECT {column} FROM {table} LIMIT 1)) OVER (ORDER BY ctid) AS other FROM {table}) n"
    " WHERE t.ctid = n.place AND n.other::text IS DISTINCT FROM t.{column}::text"
)
_COUNTERS = (
    "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_all_tables"
    " WHERE relid = to_regclass('perflab_heap_only')"
)
