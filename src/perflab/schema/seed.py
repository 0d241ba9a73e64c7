"""Loads a population into an empty schema by COPY, as fast as the server takes it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy.schema import CreateTable

from perflab.errors import PerflabError
from perflab.schema import checkins, distributions, encode, identities, rows, vocabulary
from perflab.schema import population as population_module
from perflab.schema.population import Population
from perflab.schema.query import DIALECT
from perflab.schema.rows import rows_per_table
from perflab.schema.tables import metadata

__all__ = [
    "SCHEMA_VERSION",
    "LoadReport",
    "Population",
    "SeedError",
    "create_schema",
    "finish",
    "load",
    "rows_per_table",
]

Progress = Callable[[str, int, int], None]
"""``progress(what, done, total)``."""


class SeedError(PerflabError):
    """The schema could not be created or filled."""


class LoadReport(msgspec.Struct, frozen=True):
    """What loading did and how long it took."""

    rows: dict[str, int]
    load_s: dict[str, float]
    """Seconds of generating and copying each table."""
    constraints_s: float
    """Seconds of building primary keys, unique constraints and checking foreign keys."""
    total_s: float

    @property
    def rows_per_s(self) -> dict[str, float]:
        """Rows copied per second, for each table, generation included."""
        return {table: self.rows[table] / self.load_s[table] for table in self.rows}


def schema_ddl() -> tuple[str, ...]:
    """The statements that create the *before* arm's schema."""
    return tuple(
        str(CreateTable(table).compile(dialect=DIALECT)).strip() for table in metadata.sorted_tables
    )


_GENERATOR = (checkins, distributions, encode, identities, population_module, rows, vocabulary)


def _version() -> str:
    digest = hashlib.sha256("\n".join(schema_ddl()).encode())
    for module in _GENERATOR:
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:16]


SCHEMA_VERSION = _version()
"""Changes whenever the same seed could give another database."""


def create_schema(conn: psycopg.Connection) -> None:
    """Create the tables in an empty database; a SeedError if one of them exists already."""
    try:
        with conn.transaction():
            for statement in schema_ddl():
                conn.execute(statement.encode())
    except psycopg.errors.DuplicateTable as error:
        raise SeedError(
            f"database {conn.info.dbname!r}: {str(error).strip()}; give an empty database"
        ) from None


def load(
    conn: psycopg.Connection, population: Population, progress: Progress | None = None
) -> LoadReport:
    """Fill the tables of :func:`create_schema` with ``population``.

    Constraints are dropped first and added again after COPY, which is several times faster
    than maintaining them row by row; each table is truncated and copied with FREEZE in one
    transaction. Raises SeedError if the schema is missing or holds rows.
    """
    started = time.perf_counter()
    counts = rows_per_table(population.users)
    done, total = 0, sum(counts.values())
    load_s: dict[str, float] = {}
    _refuse_unsuitable(conn, counts)
    with _autocommit(conn):
        conn.execute("SET maintenance_work_mem = '256MB'")
        constraints = _constraints(conn, list(counts))
        for constraint in reversed(constraints):
            conn.execute(
                SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(constraint.table, constraint.name)
            )
        for table in counts:
            before = time.perf_counter()
            for copied in _copy(conn, table, population):
                done += copied
                if progress:
                    progress(table, done, total)
            load_s[table] = time.perf_counter() - before
        before = time.perf_counter()
        for constraint in constraints:
            if progress:
                progress("keys", done, total)
            conn.execute(
                SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                    constraint.table, constraint.name, constraint.definition
                )
            )
        for table in counts:
            _advance_identity(conn, table)
        constraints_s = time.perf_counter() - before
        conn.execute("RESET maintenance_work_mem")
    return LoadReport(counts, load_s, constraints_s, time.perf_counter() - started)


def finish(conn: psycopg.Connection, *, checkpoint: bool = True) -> None:
    """Freeze, analyse and write out what was loaded, so that no timing pays for it later.

    Without ``checkpoint`` for a server that others use: it writes out what is theirs as well.
    """
    with _autocommit(conn):
        # by name: a superuser's plain VACUUM also works on the catalogs that databases share
        tables = SQL(", ").join(Identifier(table.name) for table in metadata.sorted_tables)
        conn.execute(SQL("VACUUM (FREEZE, ANALYZE) {}").format(tables))
        if checkpoint:
            conn.execute("CHECKPOINT")


@contextmanager
def _autocommit(conn: psycopg.Connection) -> Iterator[None]:
    """Commit what is open, then run statement by statement (VACUUM allows nothing else)."""
    conn.commit()
    before, conn.autocommit = conn.autocommit, True
    try:
        yield
    finally:
        if not conn.closed:
            conn.autocommit = before


class _Constraint(msgspec.Struct, frozen=True):
    table: Identifier
    name: Identifier
    definition: SQL


def _constraints(conn: psycopg.Connection, tables: list[str]) -> list[_Constraint]:
    """Keys before the foreign keys that need them, each as the server itself spells it."""
    found = conn.execute(
        """
        SELECT t.relname, c.conname, pg_get_constraintdef(c.oid)
        FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
        WHERE c.contype IN ('p', 'u', 'f')
          AND c.connamespace = current_schema()::regnamespace AND t.relname = ANY(%s)
        ORDER BY c.contype = 'f', t.relname, c.conname
        """,
        [tables],
    ).fetchall()
    return [
        _Constraint(Identifier(table), Identifier(name), SQL(definition))
        for table, name, definition in found
    ]


def _refuse_unsuitable(conn: psycopg.Connection, counts: dict[str, int]) -> None:
    for table in counts:
        try:
            row = conn.execute(SQL("SELECT 1 FROM {} LIMIT 1").format(Identifier(table))).fetchone()
        except psycopg.errors.UndefinedTable:
            raise SeedError(
                f"database {conn.info.dbname!r} has no table {table!r}; call create_schema first"
            ) from None
        if row:
            raise SeedError(
                f"table {table!r} of database {conn.info.dbname!r} holds rows; give an empty one"
            )


def _copy(conn: psycopg.Connection, table: str, population: Population) -> Iterator[int]:
    """COPY one table, yielding the rows of each chunk."""
    name = Identifier(table)
    columns = SQL(", ").join(Identifier(column.name) for column in metadata.tables[table].columns)
    try:
        with conn.transaction(), conn.cursor() as cursor:
            # FREEZE asks for a table truncated in the same transaction
            cursor.execute(SQL("TRUNCATE {}").format(name))
            statement = SQL("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE)").format(name, columns)
            with cursor.copy(statement) as copy:
                copy.write(encode.HEADER)
                for count, data in rows.chunks(table, population):
                    copy.write(data)
                    yield count
                copy.write(encode.TRAILER)
    except psycopg.Error as error:
        raise SeedError(f"loading {table!r} failed: {str(error).splitlines()[0]}") from error


def _advance_identity(conn: psycopg.Connection, table: str) -> None:
    if "id" in metadata.tables[table].columns:
        conn.execute(
            SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), max(id)) FROM {}").format(
                table, Identifier(table)
            )
        )
