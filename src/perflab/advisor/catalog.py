"""What the database knows of its tables: columns, their statistics, and the indexes there are.

Read from catalogs and statistics only; no table is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import dict_row


class ColumnFacts(msgspec.Struct, frozen=True):
    """One column as ANALYZE saw it."""

    name: str
    """Quoted where SQL needs it."""
    type: str
    """As in ``format_type``, without length or precision."""
    is_array: bool = False
    nullable: bool = True
    width: int = 8
    """Average bytes."""
    distinct: float = 0.0
    """Different values, estimated; 0 where it is not known."""
    null_share: float = 0.0
    correlation: float = 0.0
    """Between the order of the values and their place in the table, -1 to 1."""
    common: dict[str, float] = {}
    """The most common values as text, and their share of the rows."""


class IndexFacts(msgspec.Struct, frozen=True):
    """One index that is there."""

    name: str
    method: str
    keys: tuple[str, ...]
    """Columns or expressions, with order and operator class where they are not the default."""
    include: tuple[str, ...] = ()
    where: str = ""
    unique: bool = False
    constraint: bool = False
    """Belongs to a primary key, a unique or an exclusion constraint."""
    valid: bool = True
    size_bytes: int = 0
    scans: int = 0
    """Since statistics were reset."""
    definition: str = ""
    bare: str = ""
    """The name alone, unquoted, as plans have it."""
    partitioned: bool = False
    """Of a partitioned table: an index of each partition is attached to it."""
    attached: bool = False
    """To such a one, and so not to be had or dropped by itself."""


class PartitionFacts(msgspec.Struct, frozen=True):
    """One partition; names as SQL writes them."""

    name: str
    parent: str
    leaf: bool
    """Whether it holds rows, and is not partitioned itself."""
    rows: float = 0.0


class TableFacts(msgspec.Struct, frozen=True, dict=True):
    """One table, partitioned table, partition or materialised view."""

    name: str
    """As SQL writes it, with its schema where the search path does not lead there."""
    schema: str
    bare: str
    """The name alone, unquoted."""
    rows: float
    pages: int
    columns: tuple[ColumnFacts, ...]
    indexes: tuple[IndexFacts, ...] = ()
    writes: int = 0
    """Rows inserted, updated and deleted since statistics were reset."""
    qualified: str = ""
    """The name with its schema, quoted, whatever the search path."""
    partitions: tuple[PartitionFacts, ...] = ()
    """Of all levels, each after its parent."""

    @cached_property
    def by_column(self) -> dict[str, ColumnFacts]:
        """Columns by name."""
        return {column.name: column for column in self.columns}


class Catalog(msgspec.Struct, frozen=True, dict=True):
    """The tables of a database; those of the system and of extensions left out."""

    tables: tuple[TableFacts, ...]
    extensions: frozenset[str] = frozenset()

    @cached_property
    def by_name(self) -> Mapping[str, TableFacts]:
        """Tables by ``name``."""
        return {table.name: table for table in self.tables}

    def storing(self, name: str) -> TableFacts:
        """The table of that ``name``; of a partitioned one, the partition with most rows."""
        leaves = [part for part in self.by_name[name].partitions if part.leaf]
        return self.by_name[max(leaves, key=lambda part: part.rows).name if leaves else name]

    def find(self, name: str, schema: str = "") -> TableFacts | None:
        """The table that a statement means by these unquoted words."""
        found = [t for t in self.tables if t.bare == name and schema in ("", t.schema)]
        if not schema:  # the one on the search path is named without its schema
            found = [t for t in found if "." not in t.name] or found
        return found[0] if found else None


def read_catalog(conn: psycopg.Connection) -> Catalog:
    """Read everything in one transaction that sees one state."""
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        tables = cursor.execute(_TABLES).fetchall()
        columns = cursor.execute(_COLUMNS).fetchall()
        indexes = cursor.execute(_INDEXES).fetchall()
        partitions = cursor.execute(_PARTITIONS).fetchall()
        extensions = cursor.execute("SELECT extname FROM pg_extension").fetchall()
    columns_of, indexes_of, parts_of = map(_by_table, (columns, indexes, partitions))
    return Catalog(
        tables=tuple(
            TableFacts(
                name=t["name"],
                schema=t["schema"],
                bare=t["bare"],
                rows=max(0.0, t["rows"]),
                pages=t["pages"],
                columns=tuple(_column(c, t["rows"]) for c in columns_of.get(t["oid"], ())),
                indexes=tuple(map(_index, indexes_of.get(t["oid"], ()))),
                writes=t["writes"],
                qualified=t["qualified"],
                partitions=tuple(
                    msgspec.convert({k: v for k, v in part.items() if k != "oid"}, PartitionFacts)
                    for part in parts_of.get(t["oid"], ())
                ),
            )
            for t in tables
        ),
        extensions=frozenset(row["extname"] for row in extensions),
    )


def _by_table(rows: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["oid"], []).append(row)
    return found


def _column(row: Mapping[str, Any], rows: float) -> ColumnFacts:
    fields = {name: row[name] for name in _COLUMN_FIELDS}
    distinct = float(row["n_distinct"])
    if distinct < 0:  # a share of the rows
        distinct *= -max(rows, 0.0)
    values, shares = row["common_values"], row["common_shares"]
    common = dict(zip(values, shares, strict=False)) if values and shares else {}
    return msgspec.convert({**fields, "distinct": distinct, "common": common}, ColumnFacts)


def _index(row: Mapping[str, Any]) -> IndexFacts:
    return msgspec.convert({k: v for k, v in row.items() if k != "oid"}, IndexFacts)


_COLUMN_FIELDS = ("name", "type", "is_array", "nullable", "width", "null_share", "correlation")

_OWN = sql.SQL("""
    c.relkind IN ('r', 'm', 'p') AND n.nspname !~ '^(pg_|information_schema$)'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
""")

_TABLES = sql.SQL("""
    SELECT c.oid, c.oid::regclass::text AS name, n.nspname::text AS schema, c.relname::text AS bare,
           format('%I.%I', n.nspname, c.relname) AS qualified,
           coalesce(p.rows, c.reltuples)::float8 AS rows,
           coalesce(p.pages, c.relpages)::int8 AS pages,
           coalesce(p.writes, s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0)::int8 AS writes
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
    LEFT JOIN LATERAL (
        SELECT sum(greatest(0, l.reltuples)) AS rows, sum(l.relpages) AS pages,
               sum(z.n_tup_ins + z.n_tup_upd + z.n_tup_del) AS writes
        FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid
        LEFT JOIN pg_stat_all_tables z ON z.relid = l.oid WHERE t.isleaf) p ON c.relkind = 'p'
    WHERE {_OWN} ORDER BY 2
""").format(_OWN=_OWN)

_PARTITIONS = sql.SQL("""
    SELECT c.oid, t.relid::text AS name, t.parentrelid::text AS parent, t.isleaf AS leaf,
           greatest(0, l.reltuples)::float8 AS rows
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN LATERAL pg_partition_tree(c.oid) t ON t.level > 0 JOIN pg_class l ON l.oid = t.relid
    WHERE c.relkind = 'p' AND {_OWN} ORDER BY c.oid, t.level, 2
""").format(_OWN=_OWN)

_COLUMNS = sql.SQL("""
    SELECT c.oid, quote_ident(a.attname) AS name,
           CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, NULL)
                ELSE format_type(a.atttypid, NULL) END AS type,
           t.typcategory = 'A' AS is_array, NOT a.attnotnull AS nullable,
           coalesce(s.avg_width, z.avg_width, 8) AS width,
           coalesce(s.n_distinct, z.n_distinct, 0)::float8 AS n_distinct,
           coalesce(s.null_frac, z.null_frac, 0)::float8 AS null_share,
           coalesce(s.correlation, z.correlation, 0)::float8 AS correlation,
           (CASE WHEN s.attname IS NULL THEN z.most_common_vals ELSE s.most_common_vals END
             )::text::text[] AS common_values,
           (CASE WHEN s.attname IS NULL THEN z.most_common_freqs ELSE s.most_common_freqs END
             )::float8[] AS common_shares
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname
      AND s.attname = a.attname AND s.inherited = (c.relkind = 'p')
    LEFT JOIN LATERAL (
        SELECT m.nspname, l.relname FROM pg_partition_tree(c.oid) p
        JOIN pg_class l ON l.oid = p.relid JOIN pg_namespace m ON m.oid = l.relnamespace
        WHERE p.isleaf ORDER BY l.reltuples DESC LIMIT 1) b ON c.relkind = 'p'
    LEFT JOIN pg_stats z ON z.schemaname = b.nspname AND z.tablename = b.relname
      AND z.attname = a.attname AND NOT z.inherited AND s.attname IS NULL
    WHERE {_OWN} ORDER BY c.oid, a.attnum
""").format(_OWN=_OWN)
"""Autovacuum analyses no partitioned table: its largest partition speaks for one nobody did."""

_INDEXES = sql.SQL("""
    SELECT c.oid, i.indexrelid::regclass::text AS name, m.amname::text AS method,
           (SELECT array_agg(k.text || k.turned ORDER BY k.n)
            FROM (SELECT n, pg_get_indexdef(i.indexrelid, n, true) AS text,
                         CASE i.indoption[n - 1] WHEN 1 THEN ' DESC NULLS LAST' WHEN 2
                              THEN ' NULLS FIRST' WHEN 3 THEN ' DESC' ELSE '' END AS turned
                  FROM generate_series(1, i.indnkeyatts) n) k) AS keys,
           coalesce((SELECT array_agg(pg_get_indexdef(i.indexrelid, n, true) ORDER BY n)
            FROM generate_series(i.indnkeyatts + 1, i.indnatts) n), '{{}}') AS include,
           coalesce(pg_get_expr(i.indpred, i.indrelid, true), '') AS where,
           i.indisunique AS unique, i.indisvalid AS valid,
           EXISTS (SELECT FROM pg_constraint x WHERE x.conindid = i.indexrelid
                   AND x.contype IN ('p', 'u', 'x')) AS constraint,
           coalesce(p.size_bytes, pg_relation_size(i.indexrelid))::int8 AS size_bytes,
           coalesce(p.scans, s.idx_scan, 0)::int8 AS scans,
           replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') AS definition,
           x.relname::text AS bare, x.relkind = 'I' AS partitioned, x.relispartition AS attached
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
    LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = i.indexrelid
    LEFT JOIN LATERAL (
        SELECT sum(pg_relation_size(t.relid)) AS size_bytes, sum(z.idx_scan) AS scans
        FROM pg_partition_tree(i.indexrelid) t
        LEFT JOIN pg_stat_all_indexes z ON z.indexrelid = t.relid WHERE t.isleaf
        ) p ON x.relkind = 'I'
    WHERE {_OWN} ORDER BY 2
""").format(_OWN=_OWN)
