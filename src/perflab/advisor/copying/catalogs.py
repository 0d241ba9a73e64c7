"""Reads the shape of a target's tables from its catalogs; no table is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from perflab.advisor.copying.shape import Column, Key, Partition, Shape, Table, Type


def read_shape(conn: psycopg.Connection) -> Shape:
    """Every table of the connected database that a statement can name, and the types there are."""
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        path = cursor.execute("SELECT quote_ident(s) AS s FROM unnest(current_schemas(false)) s")
        schemas = tuple(row["s"] for row in path.fetchall())
        cursor.execute("SET LOCAL search_path = ''")  # so that every name comes with its schema
        tables = cursor.execute(_TABLES).fetchall()
        columns = _by_table(cursor.execute(_COLUMNS).fetchall(), Column)
        keys = _by_table(cursor.execute(_KEYS).fetchall(), Key)
        partitions = _by_table(cursor.execute(_PARTITIONS).fetchall(), Partition)
        indexes = cursor.execute(_INDEXES).fetchall()
        types = cursor.execute(_TYPES).fetchall()
        extensions = cursor.execute(_EXTENSIONS).fetchall()
        absent = cursor.execute(_ABSENT).fetchall()
    return Shape(
        tables=tuple(
            Table(
                **row,
                columns=columns.get(row["oid"], ()),
                keys=keys.get(row["oid"], ()),
                indexes=tuple(i["definition"] for i in indexes if i["oid"] == row["oid"]),
                partitions=partitions.get(row["oid"], ()),
            )
            for row in tables
        ),
        types=tuple(msgspec.convert(row, Type) for row in types),
        extensions={row["name"]: row["schema"] for row in extensions},
        path=schemas,
        absent={row["name"]: row["why"] for row in absent},
    )


def _by_table(rows: Sequence[Mapping[str, Any]], kind: type[Any]) -> dict[int, tuple[Any, ...]]:
    found: dict[int, tuple[Any, ...]] = {}
    for row in rows:
        rest = {name: value for name, value in row.items() if name != "oid"}
        found[row["oid"]] = (*found.get(row["oid"], ()), msgspec.convert(rest, kind))
    return found


_SCHEMA: Final = sql.SQL("n.nspname !~ '^(pg_|information_schema$)'")
_OWN: Final = sql.SQL("""
    c.relkind IN ('r', 'm', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND {}
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
""").format(_SCHEMA)

_TABLES: Final = sql.SQL("""
    SELECT format('%I.%I', n.nspname, c.relname) AS name, c.oid::int8 AS oid,
           CASE c.relkind WHEN 'p' THEN pg_get_partkeydef(c.oid) ELSE '' END AS by,
           coalesce(p.rows, c.reltuples)::float8 AS rows,
           coalesce(p.pages, c.relpages)::int8 AS pages,
           coalesce(p.size_bytes, pg_table_size(c.oid))::int8 AS size_bytes,
           has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
             AS readable
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN LATERAL (SELECT sum(greatest(0, l.reltuples)) AS rows, sum(l.relpages) AS pages,
                              coalesce(sum(pg_table_size(l.oid)), 0) AS size_bytes
                       FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid
                       WHERE t.isleaf) p ON c.relkind = 'p'
    WHERE {_OWN} ORDER BY 1
""").format(_OWN=_OWN)

_COLUMNS: Final = sql.SQL("""
    SELECT c.oid::int8 AS oid, quote_ident(a.attname) AS name,
           format_type(a.atttypid, a.atttypmod) AS type,
           a.attnotnull AS not_null,
           a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
             AND (a.attidentity <> '' OR coalesce(x.text, '') LIKE 'nextval(%') AS counted,
           CASE WHEN a.attgenerated = '' AND x.text NOT LIKE 'nextval(%' THEN x.text
                ELSE '' END AS default,
           CASE a.attgenerated WHEN '' THEN '' ELSE coalesce(x.text, '') END AS generated,
           a.attgenerated = 'v' AS virtual,
           coalesce((SELECT e.extname::text FROM pg_depend d
                     JOIN pg_extension e ON e.oid = d.refobjid
                     WHERE d.objid = a.atttypid AND d.deptype = 'e' LIMIT 1), '') AS extension
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN LATERAL (SELECT coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS text
                       FROM pg_attrdef d WHERE d.adrelid = c.oid AND d.adnum = a.attnum) x ON true
    WHERE {_OWN} ORDER BY c.oid, a.attnum
""").format(_OWN=_OWN)

_NAMES: Final = sql.SQL("""
    (SELECT coalesce(array_agg({what} ORDER BY k.n), '{{}}')
     FROM unnest({numbers}) WITH ORDINALITY k(number, n)
     JOIN pg_attribute a ON a.attrelid = {table} AND a.attnum = k.number)
""")
_NAME, _TYPE = sql.SQL("quote_ident(a.attname)"), sql.SQL("format_type(a.atttypid, NULL)")
_CHILD: Final = {"numbers": sql.SQL("x.conkey"), "table": sql.SQL("x.conrelid")}
_PARENT: Final = {"numbers": sql.SQL("x.confkey"), "table": sql.SQL("x.confrelid")}

_KEYS: Final = sql.SQL("""
    SELECT c.oid::int8 AS oid, quote_ident(x.conname) AS name, x.contype::text AS kind,
           {columns} AS columns, {parent_columns} AS parent_columns, {parent_types} AS parent_types,
           coalesce((SELECT format('%I.%I', m.nspname, p.relname) FROM pg_class p
                     JOIN pg_namespace m ON m.oid = p.relnamespace
                     WHERE p.oid = x.confrelid), '') AS parent,
           pg_get_constraintdef(x.oid) AS definition
    FROM pg_constraint x JOIN pg_class c ON c.oid = x.conrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE x.contype IN ('p', 'u', 'x', 'c', 'f') AND x.conparentid = 0
      AND (x.contype <> 'c' OR x.convalidated) AND {_OWN}
    ORDER BY c.oid, x.conname
""").format(
    columns=_NAMES.format(what=_NAME, **_CHILD),
    parent_columns=_NAMES.format(what=_NAME, **_PARENT),
    parent_types=_NAMES.format(what=_TYPE, **_PARENT),
    _OWN=_OWN,
)
"""Checks that rows need not pass yet are left out, and what follows from a parent's own."""

_DEFINITIONS: Final = sql.SQL("""
    SELECT replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') AS definition
    FROM pg_index i WHERE i.indrelid = {} AND i.indisvalid
      AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid)
      AND NOT EXISTS (SELECT FROM pg_constraint x WHERE x.conindid = i.indexrelid
                      AND x.contype IN ('p', 'u', 'x'))
    ORDER BY i.indexrelid
""")

_INDEXES: Final = sql.SQL("""
    SELECT c.oid::int8 AS oid, y.definition
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN LATERAL ({}) y ON true
    WHERE {} ORDER BY c.oid
""").format(_DEFINITIONS.format(sql.SQL("c.oid")), _OWN)

_PARTITIONS: Final = sql.SQL("""
    SELECT c.oid::int8 AS oid, format('%I.%I', ln.nspname, l.relname) AS name,
           format('%I.%I', pn.nspname, p.relname) AS parent,
           pg_get_expr(l.relpartbound, l.oid) AS bound,
           CASE l.relkind WHEN 'p' THEN pg_get_partkeydef(l.oid) ELSE '' END AS by,
           l.relkind = 'f' AS foreign, ARRAY({}) AS indexes
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN LATERAL pg_partition_tree(c.oid) t ON t.level > 0
    JOIN pg_class l ON l.oid = t.relid JOIN pg_namespace ln ON ln.oid = l.relnamespace
    JOIN pg_class p ON p.oid = t.parentrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE c.relkind = 'p' AND {} ORDER BY c.oid, t.level, 2
""").format(_DEFINITIONS.format(sql.SQL("l.oid")), _OWN)

_EXTENSIONS: Final = sql.SQL("""
    SELECT e.extname::text AS name, quote_ident(n.nspname) AS schema
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.oid
""")

_TYPES: Final = sql.SQL("""
    SELECT q.name, format(q.ddl, q.name, q.parts) AS ddl,
           CASE WHEN q.checks = '' THEN '' ELSE format(q.ddl, q.name, '') END AS without_checks
    FROM (
        SELECT t.oid, format('%I.%I', n.nspname, t.typname) AS name,
               coalesce(d.checks, '') AS checks,
               CASE t.typtype
                   WHEN 'e' THEN 'CREATE TYPE %s AS ENUM (%s)'
                   WHEN 'c' THEN 'CREATE TYPE %s AS (%s)'
                   WHEN 'r' THEN 'CREATE TYPE %s AS RANGE (%s)'
                   ELSE 'CREATE DOMAIN %s AS ' || replace(format_type(t.typbasetype, t.typtypmod),
                                                          '%', '%%') || '%s'
               END AS ddl,
               CASE t.typtype
                   WHEN 'e' THEN (SELECT coalesce(string_agg(quote_literal(e.enumlabel), ', '
                                                             ORDER BY e.enumsortorder), '')
                                  FROM pg_enum e WHERE e.enumtypid = t.oid)
                   WHEN 'c' THEN (SELECT string_agg(format('%I %s', a.attname,
                                             format_type(a.atttypid, a.atttypmod)), ', '
                                             ORDER BY a.attnum)
                                  FROM pg_attribute a WHERE a.attrelid = t.typrelid
                                  AND a.attnum > 0 AND NOT a.attisdropped)
                   WHEN 'r' THEN (SELECT 'SUBTYPE = ' || format_type(r.rngsubtype, NULL)
                                  FROM pg_range r WHERE r.rngtypid = t.oid)
                   ELSE coalesce(d.checks, '')
               END AS parts
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        LEFT JOIN pg_class c ON c.oid = t.typrelid
        LEFT JOIN LATERAL (
            SELECT string_agg(format(' CONSTRAINT %I %s', x.conname, pg_get_constraintdef(x.oid)),
                              '' ORDER BY x.conname) AS checks
            FROM pg_constraint x WHERE x.contypid = t.oid AND x.contype = 'c') d ON true
        WHERE {} AND (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
          AND NOT EXISTS (SELECT FROM pg_depend p WHERE p.deptype = 'e'
                          AND p.objid IN (t.oid, t.typrelid))
    ) q ORDER BY q.oid
""").format(_SCHEMA)
"""Enums, composite types, ranges and domains; of these not NOT NULL, which rows may break."""

_ABSENT: Final = sql.SQL("""
    SELECT format('%I.%I', n.nspname, c.relname) AS name,
           CASE c.relkind WHEN 'f' THEN 'a foreign table: its rows are on another server'
                ELSE 'a view that could not be written out; name its tables instead' END AS why
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('f', 'v') AND {}
""").format(_SCHEMA)
