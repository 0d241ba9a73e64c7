"""The state of a database's tables as its catalogs and counters tell it; no table is read."""

from __future__ import annotations

from datetime import datetime

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

PAGE_BYTES = 8192


class TableHealth(msgspec.Struct, frozen=True):
    """One table or materialised view: what the planner believes, and what happened since."""

    name: str
    """As SQL writes it, with its schema where the search path does not lead there."""
    rows: float = -1.0
    """``reltuples``: as the last VACUUM or ANALYZE counted; -1 where neither ever did."""
    pages: int = 0
    """``relpages``: pages at that moment."""
    pages_now: int = 0
    live: int = 0
    """By the counters, like all that follow; they start at 0 in a copy and after a crash."""
    dead: int = 0
    changed: int = 0
    """Rows inserted, updated or deleted since the last ANALYZE."""
    rewritten: int = 0
    """Rows updated or deleted since counting began."""
    dying: int = 0
    """Rows that were left for VACUUM since counting began: deleted, or updated elsewhere."""
    analyzed_at: datetime | None = None
    vacuumed_at: datetime | None = None
    columns: int = 0
    columns_known: int = 0
    """Those of them whose statistics this role sees."""
    readable: bool = True
    """Whether this role may read all of the table: else its statistics are not to be seen."""
    row_bytes: float = 0.0
    """An average row's header, values and padding, by the columns' statistics."""
    fillfactor: int = 100
    options: dict[str, str] = {}
    """The table's own storage parameters, ``autovacuum_...`` among them."""

    @property
    def believed_rows(self) -> float:
        """As the planner believes: the last count, grown like the file; else the counters' word."""
        if self.rows <= 0 or not self.pages:
            return float(self.live)
        return self.rows / self.pages * self.pages_now

    @property
    def expected_pages(self) -> float | None:
        """Pages that ``rows`` rows fill without waste; None where statistics do not say.

        The known estimate out of average widths (as check_postgres has it). It knows nothing of
        padding between columns, and so may be a fifth too low.
        """
        if self.rows <= 0 or self.columns_known < self.columns:
            return None
        fitting = (PAGE_BYTES - 24) * self.fillfactor / 100 / self.row_bytes
        return self.rows / max(1.0, fitting // 1)


class IndexHealth(msgspec.Struct, frozen=True):
    """One B-tree."""

    name: str
    """As SQL writes it."""
    table: str
    rows: float = -1.0
    """Entries, as the last VACUUM or ANALYZE counted; -1 where neither ever did."""
    pages: int = 0
    """At that moment."""
    pages_now: int = 0
    entry_bytes: float = 0.0
    """An average entry's header, values and padding, by the columns' statistics."""
    columns: int = 0
    columns_known: int = 0
    """Those of them whose statistics this role sees."""
    fillfactor: int = 90

    @property
    def expected_pages(self) -> float | None:
        """Pages that ``rows`` entries fill without waste; None where statistics do not say.

        As the known query for B-trees estimates it (ioguix, pgsql-bloat-estimation). It counts no
        inner pages (one in some hundred), and an entry for every row: where equal keys share one
        (deduplication, since PostgreSQL 13), some bloat is not seen.
        """
        if self.rows < 0 or self.columns_known < self.columns:
            return None
        room = (PAGE_BYTES - 24 - 16) * self.fillfactor / 100
        return 1 + self.rows / max(1.0, room / self.entry_bytes)


class Health(msgspec.Struct, frozen=True):
    """The tables of one database at one moment, and the settings that look after them."""

    tables: tuple[TableHealth, ...]
    settings: dict[str, str]
    """``autovacuum...`` and ``track_counts``."""
    taken_at: datetime
    counting_since: datetime | None
    """When counters were last reset; None where the server does not say."""
    oldest_s: float
    """Age of the oldest transaction whose rows VACUUM must keep; 0 without one."""
    indexes: tuple[IndexHealth, ...] = ()


def read_health(conn: psycopg.Connection) -> Health:
    """Read everything in one transaction; system tables, toast and extensions' are left out."""
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        tables = cursor.execute(_TABLES).fetchall()
        indexes = cursor.execute(_INDEXES).fetchall()
        settings = cursor.execute(_SETTINGS).fetchall()
        (moment,) = cursor.execute(_MOMENT).fetchall()
    return Health(
        tables=tuple(msgspec.convert(row, TableHealth) for row in tables),
        settings={row["name"]: row["setting"] for row in settings},
        taken_at=moment["taken_at"],
        counting_since=moment["counting_since"],
        oldest_s=moment["oldest_s"],
        indexes=tuple(msgspec.convert(row, IndexHealth) for row in indexes),
    )


_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name ~ '^(autovacuum|track_counts$)'"

_MOMENT = """
    SELECT clock_timestamp() AS taken_at,
           (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database())
             AS counting_since,
           coalesce((SELECT extract(epoch FROM clock_timestamp() - min(xact_start))
                     FROM pg_stat_activity WHERE backend_xmin IS NOT NULL
                     AND pid <> pg_backend_pid() AND datname = current_database()), 0)::float8
             AS oldest_s
"""

# Header: 23 bytes, and a bit a column where one may be NULL, both rounded up to 8; a row's data
# is rounded up to 8 as well, and every row has a pointer of 4 (storage-page-layout).
_TABLES = sql.SQL("""
    SELECT c.oid::regclass::text AS name, c.reltuples::float8 AS rows, c.relpages AS pages,
           (pg_relation_size(c.oid) / current_setting('block_size')::int)::int AS pages_now,
           coalesce(s.n_live_tup, 0) AS live, coalesce(s.n_dead_tup, 0) AS dead,
           coalesce(s.n_mod_since_analyze, 0) AS changed,
           coalesce(s.n_tup_upd + s.n_tup_del, 0) AS rewritten,
           coalesce(s.n_tup_upd - s.n_tup_hot_upd + s.n_tup_del, 0) AS dying,
           greatest(s.last_analyze, s.last_autoanalyze) AS analyzed_at,
           greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at,
           a.columns, a.columns_known,
           has_table_privilege(c.oid, 'SELECT') AS readable,
           (4 + 8 * ceil((23 + CASE WHEN a.nullable THEN ceil(a.columns / 8.0) ELSE 0 END) / 8)
            + 8 * ceil(a.width / 8))::float8 AS row_bytes,
           coalesce((o.options ->> 'fillfactor')::int, 100) AS fillfactor,
           coalesce(o.options, '{}') AS options
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
    CROSS JOIN LATERAL (
        SELECT count(*)::int AS columns, count(p.attname)::int AS columns_known,
               coalesce(bool_or(p.null_frac > 0), false) AS nullable,
               coalesce(sum(p.avg_width * (1 - p.null_frac)), 0)::float8 AS width
        FROM pg_attribute a LEFT JOIN pg_stats p ON p.schemaname = n.nspname
          AND p.tablename = c.relname AND p.attname = a.attname AND NOT p.inherited
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) a
    CROSS JOIN LATERAL (SELECT jsonb_object_agg(option_name, option_value) AS options
                        FROM pg_options_to_table(c.reloptions)) o
    WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^(pg_|information_schema$)'
      AND c.relpersistence <> 't'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1
""")

# Header: 8 bytes, and a bitmap of 8 where a value may be NULL; values are rounded up to 8, and
# every entry has a pointer of 4. What an expression's values are like, the index itself says.
_INDEXES = sql.SQL("""
    SELECT i.indexrelid::regclass::text AS name, c.oid::regclass::text AS table,
           x.reltuples::float8 AS rows, x.relpages AS pages,
           (pg_relation_size(x.oid) / current_setting('block_size')::int)::int AS pages_now,
           a.columns, a.columns_known,
           (4 + 8 + CASE WHEN a.nullable THEN 8 ELSE 0 END + 8 * ceil(a.width / 8))::float8
             AS entry_bytes,
           coalesce((SELECT option_value::int FROM pg_options_to_table(x.reloptions)
                     WHERE option_name = 'fillfactor'), 90) AS fillfactor
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree'
    CROSS JOIN LATERAL (
        SELECT count(*)::int AS columns, count(p.attname)::int AS columns_known,
               coalesce(bool_or(p.null_frac > 0), false) AS nullable,
               coalesce(sum(p.avg_width * (1 - p.null_frac)), 0)::float8 AS width
        FROM pg_attribute k
        LEFT JOIN pg_attribute t ON t.attrelid = c.oid AND t.attnum = i.indkey[k.attnum - 1]
        LEFT JOIN pg_stats p ON p.schemaname = n.nspname AND NOT p.inherited
          AND p.tablename = CASE WHEN t.attname IS NULL THEN x.relname ELSE c.relname END
          AND p.attname = coalesce(t.attname, k.attname) AND k.atttypid <> 'name'::regtype
        WHERE k.attrelid = x.oid AND k.attnum > 0) a
    WHERE x.relkind = 'i' AND i.indisvalid AND NOT i.indisexclusion
      AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
      AND n.nspname !~ '^(pg_|information_schema$)'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1
""")
"""Those that REINDEX CONCURRENTLY takes."""
