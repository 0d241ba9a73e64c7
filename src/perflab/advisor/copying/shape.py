"""What tables of a target look like, read from its catalogs, and the DDL that makes them again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

KeyKind = Literal["p", "u", "f"]
Statement = sql.SQL | sql.Composed


class Column(msgspec.Struct, frozen=True):
    """One column; names are quoted where SQL needs it."""

    name: str
    type: str
    """Schema included where it is no type of PostgreSQL's own; a domain's base type."""
    not_null: bool
    counted: bool
    """Numbered by a sequence where a statement gives no value."""
    default: str


class Key(msgspec.Struct, frozen=True):
    """A primary key, a unique constraint or a foreign key."""

    name: str
    kind: KeyKind
    columns: tuple[str, ...]
    parent: str
    """The table that a foreign key refers to; empty for other keys."""
    parent_columns: tuple[str, ...]
    parent_types: tuple[str, ...]
    definition: str


class Table(msgspec.Struct, frozen=True):
    """One table or materialised view."""

    name: str
    """With its schema, quoted."""
    oid: int
    rows: float
    """By the statistics; negative where nobody has counted."""
    pages: int
    size_bytes: int
    """Without indexes."""
    readable: bool
    """Whether the role may read all of it."""
    columns: tuple[Column, ...]
    keys: tuple[Key, ...]
    indexes: tuple[str, ...]
    """Statements that make the indexes that belong to no constraint."""

    @property
    def parents(self) -> tuple[Key, ...]:
        """Foreign keys."""
        return tuple(key for key in self.keys if key.kind == "f")


class Shape(msgspec.Struct, frozen=True):
    """All that is to be made before rows can come."""

    tables: tuple[Table, ...]
    enums: dict[str, tuple[str, ...]]
    composites: dict[str, str]
    """The attributes of each composite type, as CREATE TYPE takes them."""
    extensions: dict[str, str]
    """With the schema that each is in, quoted."""
    path: tuple[str, ...]
    """Schemas that are searched, quoted."""

    def only(self, tables: Iterable[Table]) -> Shape:
        """The same with these tables."""
        return msgspec.structs.replace(self, tables=tuple(tables))


def read_shape(conn: psycopg.Connection) -> Shape:
    """Every table of the connected database that a statement can name; no table is touched."""
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        path = cursor.execute("SELECT quote_ident(s) AS s FROM unnest(current_schemas(false)) s")
        schemas = tuple(row["s"] for row in path.fetchall())
        cursor.execute("SET LOCAL search_path = ''")  # so that every name comes with its schema
        tables = cursor.execute(_TABLES).fetchall()
        columns = _by_table(cursor.execute(_COLUMNS).fetchall(), Column)
        keys = _by_table(cursor.execute(_KEYS).fetchall(), Key)
        indexes = cursor.execute(_INDEXES).fetchall()
        enums = cursor.execute(_ENUMS).fetchall()
        composites = cursor.execute(_COMPOSITES).fetchall()
        extensions = cursor.execute(_EXTENSIONS).fetchall()
    return Shape(
        tables=tuple(
            Table(
                **row,
                columns=columns.get(row["oid"], ()),
                keys=keys.get(row["oid"], ()),
                indexes=tuple(i["definition"] for i in indexes if i["oid"] == row["oid"]),
            )
            for row in tables
        ),
        enums={row["name"]: tuple(row["labels"]) for row in enums},
        composites={row["name"]: row["attributes"] for row in composites},
        extensions={row["name"]: row["schema"] for row in extensions},
        path=schemas,
    )


def with_parents(shape: Shape, names: Collection[str]) -> Shape:
    """The tables of these names and, over foreign keys, all that their rows need; by name.

    A parent that the role may not read is left out, with the foreign keys that lead to it.
    """
    by_name = {table.name: table for table in shape.tables}
    found: dict[str, Table] = {}
    waiting = [name for name in names if name in by_name]
    while waiting:
        table = by_name[waiting.pop()]
        if table.name in found:
            continue
        keys = tuple(k for k in table.keys if not k.parent or _reads(by_name, k.parent))
        found[table.name] = msgspec.structs.replace(table, keys=keys)
        waiting.extend(key.parent for key in found[table.name].parents)
    return shape.only(found[name] for name in sorted(found))


def _reads(by_name: dict[str, Table], name: str) -> bool:
    return name in by_name and by_name[name].readable


def make_tables(conn: psycopg.Connection, shape: Shape) -> dict[str, str]:
    """Make types and empty tables; by table, the reasons of those that cannot be made here."""
    schemas = {*shape.path, *shape.extensions.values()}
    named = [*(table.name for table in shape.tables), *shape.enums, *shape.composites]
    schemas |= set(map(_schema, named))
    for schema in sorted(schemas - {"public", "pg_catalog"}):
        conn.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())
    for extension, schema in shape.extensions.items():
        _try(conn, _TRUSTED.format(name=sql.Literal(extension), schema=sql.Literal(schema)))
    for name, labels in shape.enums.items():
        texts = sql.SQL(", ").join(map(sql.Literal, labels))
        _try(conn, sql.SQL("CREATE TYPE {} AS ENUM ({})").format(sql.SQL(name), texts))
    _make_composites(conn, shape.composites)
    return {
        table.name: reason
        for table in shape.tables
        if (reason := _try(conn, _create(table), *_defaults(table)))
    }


def _make_composites(conn: psycopg.Connection, composites: Mapping[str, str]) -> None:
    """Make those that can be made: one may consist of others, in whatever order."""
    waiting = dict(composites)
    while waiting:
        failed = {
            name: attributes
            for name, attributes in waiting.items()
            if _try(conn, sql.SQL(f"CREATE TYPE {name} AS ({attributes})"))
        }
        if len(failed) == len(waiting):
            return
        waiting = failed


def add_keys(conn: psycopg.Connection, tables: Sequence[Table]) -> tuple[str, ...]:
    """Primary keys and unique constraints: what finds a row by its key."""
    return _alter(conn, tables, lambda key: key.kind != "f")


def add_parents(conn: psycopg.Connection, tables: Sequence[Table]) -> tuple[str, ...]:
    """Foreign keys, checked by the server; what could not be added, and why."""
    return _alter(conn, tables, lambda key: key.kind == "f")


def add_indexes(conn: psycopg.Connection, tables: Sequence[Table]) -> tuple[str, ...]:
    """The other indexes; what could not be made, and why."""
    made = ((text, _try(conn, sql.SQL(text))) for table in tables for text in table.indexes)
    return tuple(f"{text}: {reason}" for text, reason in made if reason)


def count_on(conn: psycopg.Connection, tables: Sequence[Table]) -> None:
    """Let numbered columns go on behind the highest number there is."""
    for table in tables:
        for column in table.columns:
            if column.counted:
                statement = _COUNT_ON.format(
                    table_text=sql.Literal(table.name),
                    column_text=sql.Literal(_bare(column.name)),
                    column=sql.SQL(column.name),
                    table=sql.SQL(table.name),
                )
                _try(conn, statement)  # where the numbers are used up, inserting fails as there


def _alter(
    conn: psycopg.Connection, tables: Sequence[Table], wanted: Callable[[Key], bool]
) -> tuple[str, ...]:
    failed = []
    for table in tables:
        for key in filter(wanted, table.keys):
            text = f"ALTER TABLE {table.name} ADD CONSTRAINT {key.name} {key.definition}"
            if reason := _try(conn, sql.SQL(text)):
                failed.append(f"{table.name} {key.definition}: {reason}")
    return tuple(failed)


def _create(table: Table) -> Statement:
    columns = (
        f"{c.name} {c.type}"
        + (" GENERATED BY DEFAULT AS IDENTITY" if c.counted else "")
        + (" NOT NULL" if c.not_null and not c.counted else "")
        for c in table.columns
    )
    return sql.SQL(f"CREATE TABLE {table.name} ({', '.join(columns)})")


def _defaults(table: Table) -> Iterable[Statement]:
    for column in table.columns:
        if column.default:
            text = f"ALTER TABLE {table.name} ALTER {column.name} SET DEFAULT {column.default}"
            yield sql.SQL(text)


def _try(conn: psycopg.Connection, first: Statement, *more: Statement) -> str:
    """Execute ``first``, and of ``more`` what can be; why the first could not be."""
    try:
        conn.execute(first)
    except psycopg.Error as error:
        if conn.broken or conn.closed:
            raise
        return str(error).splitlines()[0]
    for statement in more:
        _try(conn, statement)
    return ""


def _schema(name: str) -> str:
    """The schema of a quoted name with two parts."""
    return name[: name.index('"', 1) + 1] if name.startswith('"') else name.partition(".")[0]


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _by_table(rows: Sequence[dict[str, Any]], kind: type[Any]) -> dict[int, tuple[Any, ...]]:
    found: dict[int, tuple[Any, ...]] = {}
    for row in rows:
        rest = {name: value for name, value in row.items() if name != "oid"}
        found[row["oid"]] = (*found.get(row["oid"], ()), msgspec.convert(rest, kind))
    return found


_COUNT_ON = sql.SQL(
    "SELECT setval(pg_get_serial_sequence({table_text}, {column_text}),"
    " greatest(1, max({column})) + 1) FROM {table}"
)
_TRUSTED = sql.SQL(
    "DO $$ BEGIN IF EXISTS (SELECT FROM pg_available_extension_versions WHERE name = {name}"
    " AND trusted) THEN EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I SCHEMA %s CASCADE',"
    " {name}, {schema}); END IF; END $$"
)
"""Those alone that cannot be used to leave the database: no dblink, no file access."""

_OWN = sql.SQL("""
    c.relkind IN ('r', 'm') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND n.nspname !~ '^(pg_|information_schema$)'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
""")

_TABLES = sql.SQL("""
    SELECT format('%I.%I', n.nspname, c.relname) AS name, c.oid::int8 AS oid,
           c.reltuples::float8 AS rows, c.relpages AS pages, pg_table_size(c.oid) AS size_bytes,
           has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
             AS readable
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OWN} ORDER BY 1
""").format(_OWN=_OWN)

_COLUMNS = sql.SQL("""
    SELECT c.oid::int8 AS oid, quote_ident(a.attname) AS name,
           CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod)
                ELSE format_type(a.atttypid, a.atttypmod) END AS type,
           a.attnotnull AND a.attgenerated = '' AS not_null,
           a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
             AND (a.attidentity <> '' OR coalesce(x.text, '') LIKE 'nextval(%') AS counted,
           CASE WHEN a.attgenerated = '' AND x.text NOT LIKE 'nextval(%' THEN x.text
                ELSE '' END AS default
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN LATERAL (SELECT coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS text
                       FROM pg_attrdef d WHERE d.adrelid = c.oid AND d.adnum = a.attnum) x ON true
    WHERE {_OWN} ORDER BY c.oid, a.attnum
""").format(_OWN=_OWN)

_NAMES = sql.SQL("""
    (SELECT coalesce(array_agg({what} ORDER BY k.n), '{{}}')
     FROM unnest({numbers}) WITH ORDINALITY k(number, n)
     JOIN pg_attribute a ON a.attrelid = {table} AND a.attnum = k.number)
""")
_NAME, _TYPE = sql.SQL("quote_ident(a.attname)"), sql.SQL("format_type(a.atttypid, NULL)")
_CHILD = {"numbers": sql.SQL("x.conkey"), "table": sql.SQL("x.conrelid")}
_PARENT = {"numbers": sql.SQL("x.confkey"), "table": sql.SQL("x.confrelid")}

_KEYS = sql.SQL("""
    SELECT c.oid::int8 AS oid, quote_ident(x.conname) AS name, x.contype::text AS kind,
           {columns} AS columns, {parent_columns} AS parent_columns, {parent_types} AS parent_types,
           coalesce((SELECT format('%I.%I', m.nspname, p.relname) FROM pg_class p
                     JOIN pg_namespace m ON m.oid = p.relnamespace
                     WHERE p.oid = x.confrelid), '') AS parent,
           pg_get_constraintdef(x.oid) AS definition
    FROM pg_constraint x JOIN pg_class c ON c.oid = x.conrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE x.contype IN ('p', 'u', 'f') AND {_OWN} ORDER BY c.oid, x.conname
""").format(
    columns=_NAMES.format(what=_NAME, **_CHILD),
    parent_columns=_NAMES.format(what=_NAME, **_PARENT),
    parent_types=_NAMES.format(what=_TYPE, **_PARENT),
    _OWN=_OWN,
)

_INDEXES = sql.SQL("""
    SELECT c.oid::int8 AS oid, pg_get_indexdef(i.indexrelid) AS definition
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indisvalid AND {_OWN}
      AND NOT EXISTS (SELECT FROM pg_constraint x WHERE x.conindid = i.indexrelid
                      AND x.contype IN ('p', 'u', 'x'))
    ORDER BY c.oid, i.indexrelid
""").format(_OWN=_OWN)

_EXTENSIONS = sql.SQL("""
    SELECT e.extname::text AS name, quote_ident(n.nspname) AS schema
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.oid
""")

_ENUMS = sql.SQL("""
    SELECT format('%I.%I', n.nspname, t.typname) AS name,
           array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels
    FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
    JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
    GROUP BY 1 ORDER BY 1
""")

_COMPOSITES = sql.SQL("""
    SELECT format('%I.%I', n.nspname, c.relname) AS name,
           string_agg(format('%I %s', a.attname,
                             CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod)
                             ELSE format_type(a.atttypid, a.atttypmod) END),
                      ', ' ORDER BY a.attnum) AS attributes
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relkind = 'c' AND n.nspname !~ '^(pg_|information_schema$)'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.reltype AND d.deptype = 'e')
    GROUP BY 1 ORDER BY 1
""")
