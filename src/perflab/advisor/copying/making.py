"""Makes the tables of a shape in an empty database, with their types and functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec
import psycopg
from psycopg import sql

from perflab.advisor.copying.shape import Key, Shape, Table
from perflab.advisor.errors import AdvisorError, said

Statement = sql.SQL | sql.Composed
_VIRTUAL = 180000
"""The first server version with generated columns that are computed when they are read."""


def make_tables(conn: psycopg.Connection, shape: Shape) -> Shape:
    """Make types, functions and empty tables; the shape of those that could be made here.

    The others are ``absent`` in it. Raises AdvisorError where no table can be made.
    """
    schemas = {*shape.path, *shape.extensions.values()}
    partitions = (part.name for table in shape.tables for part in table.partitions)
    named = [*(t.name for t in shape.tables), *(t.name for t in shape.types), *partitions]
    schemas |= {_schema(name) for name in (*named, *(f.signature for f in shape.functions))}
    for schema in sorted(schemas - {"public", "pg_catalog"}):
        conn.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())
    for extension, schema in shape.extensions.items():
        _try(conn, _TRUSTED.format(name=sql.Literal(extension), schema=sql.Literal(schema)))
    # so that what functions name may come later, and means what it means on the target
    conn.execute("SET check_function_bodies = off")
    path = ", ".join(shape.path)
    conn.execute("SELECT set_config('search_path', %s, false)", [path])
    waiting: dict[str, tuple[str, ...]] = {one.name: (one.ddl,) for one in shape.types}
    waiting |= {one.signature: (one.definition,) for one in shape.functions}
    reasons = _make(conn, waiting)
    for one in shape.types:  # a domain without checks is better than none
        if one.name in reasons and one.without_checks:
            waiting[one.name] = (one.ddl, one.without_checks)
    reasons = _make(conn, {name: waiting[name] for name in reasons})
    tables = {table.name: reason for table in shape.tables if (reason := _make_table(conn, table))}
    reasons = _make(conn, {name: waiting[name] for name in reasons})  # those of a table's row type
    for table in shape.tables:
        if table.name not in tables:
            for statement in _defaults(table):
                _try(conn, statement)
    if tables and len(tables) == len(shape.tables):
        name, reason = next(iter(tables.items()))
        raise AdvisorError(f"the table {name} cannot be made in the copy: {reason}")
    return msgspec.structs.replace(
        shape,
        tables=tuple(_without(t, tables.keys()) for t in shape.tables if t.name not in tables),
        functions=tuple(f for f in shape.functions if f.signature not in reasons),
        absent={**shape.absent, **reasons, **tables},
    )


def _without(table: Table, parents: Collection[str]) -> Table:
    keys = tuple(key for key in table.keys if key.parent not in parents)
    return msgspec.structs.replace(table, keys=keys)


def _make(conn: psycopg.Connection, waiting: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Make all that can be made: one may need others, in whatever order. The others' reasons."""
    left, reasons = dict(waiting), dict[str, str]()
    while left:
        reasons = {
            name: why
            for name, variants in left.items()
            if (why := _first(conn, [sql.SQL(text) for text in variants]))
        }
        if len(reasons) == len(left):
            break
        left = {name: left[name] for name in reasons}
    return reasons


def _make_table(conn: psycopg.Connection, table: Table) -> str:
    if foreign := next((part.name for part in table.partitions if part.foreign), ""):
        return f"its partition {foreign} is a foreign table"
    newer = conn.info.server_version >= _VIRTUAL
    # a generated column that cannot be computed here is a plain one, with the values it has there
    variants = [_create(table, kind) for kind in ("real" if newer else "stored", "plain")]
    if reason := _first(conn, variants):
        others = sorted({column.extension for column in table.columns} - {""})
        return f"{reason} (types of {', '.join(others)})" if others else reason
    for part in table.partitions:
        by = f" PARTITION BY {part.by}" if part.by else ""
        text = f"CREATE TABLE {part.name} PARTITION OF {part.parent} {part.bound}{by}"
        if reason := _try(conn, sql.SQL(text)):
            conn.execute(f"DROP TABLE {table.name}".encode())
            return f"its partition {part.name}: {reason}"
    return ""


def add_keys(conn: psycopg.Connection, tables: Sequence[Table]) -> tuple[str, ...]:
    """Primary keys, unique and exclusion constraints: what finds a row by its key."""
    return _alter(conn, tables, lambda key: key.kind in "pux")


def add_parents(conn: psycopg.Connection, tables: Sequence[Table]) -> tuple[str, ...]:
    """Foreign keys, checked by the server; what could not be added, and why."""
    return _alter(conn, tables, lambda key: key.kind == "f")


def add_checks(conn: psycopg.Connection, tables: Sequence[Table]) -> tuple[str, ...]:
    """Check constraints; what could not be added, and why."""
    return _alter(conn, tables, lambda key: key.kind == "c")


def add_indexes(conn: psycopg.Connection, tables: Sequence[Table]) -> tuple[str, ...]:
    """The other indexes; what could not be made, and why."""
    texts = (
        text
        for table in tables
        for text in (*table.indexes, *(i for part in table.partitions for i in part.indexes))
    )
    made = ((text, _try(conn, sql.SQL(text))) for text in texts)
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


def _create(table: Table, generated: str) -> Statement:
    """``generated``: real as they are, stored all of them, plain none."""
    columns = []
    for c in table.columns:
        words = [c.name, c.type]
        if c.counted:
            words.append("GENERATED BY DEFAULT AS IDENTITY")
        elif c.generated and generated != "plain":
            kind = "VIRTUAL" if c.virtual and generated == "real" else "STORED"
            words.append(f"GENERATED ALWAYS AS ({c.generated}) {kind}")
        elif c.not_null and not c.generated:
            words.append("NOT NULL")
        columns.append(" ".join(words))
    by = f" PARTITION BY {table.by}" if table.by else ""
    return sql.SQL(f"CREATE TABLE {table.name} ({', '.join(columns)}){by}")


def _defaults(table: Table) -> Iterable[Statement]:
    for column in table.columns:
        if column.default:
            text = f"ALTER TABLE {table.name} ALTER {column.name} SET DEFAULT {column.default}"
            yield sql.SQL(text)


def _first(conn: psycopg.Connection, variants: Sequence[Statement]) -> str:
    """Execute the first variant that can be; the first one's reason where none can."""
    reason = ""
    for variant in variants:
        why = _try(conn, variant)
        if not why:
            return ""
        reason = reason or why
    return reason


def _try(conn: psycopg.Connection, statement: Statement) -> str:
    """Execute it; why it could not be."""
    try:
        conn.execute(statement)
    except psycopg.Error as error:
        if conn.broken or conn.closed:
            raise
        return said(error)
    return ""


def _schema(name: str) -> str:
    """The schema of a quoted name with two parts."""
    return name[: name.index('"', 1) + 1] if name.startswith('"') else name.partition(".")[0]


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


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
