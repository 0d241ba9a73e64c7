"""The lab's own databases on a server: made, cloned, renamed and dropped, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg
from psycopg import sql

from perflab.services import Postgres

_FILE_COPY_BYTES = 64 * 2**20
"""Above this PostgreSQL 15+ copies files instead of logging every page of a clone."""


class Databases:
    """Databases whose names begin with the server's ``prefix``; callers name them by label."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._made: list[str] = []

    def conninfo(self, label: str) -> str:
        """How to connect to the database called ``label``."""
        return self._postgres.conninfo(self._name(label))

    def exists(self, label: str) -> bool:
        """Whether there is a database of this label."""
        with self._admin() as admin:
            found = admin.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [self._name(label)]
            ).fetchone()
        return found is not None

    def create(self, label: str) -> str:
        """An empty database in place of any of this label; returns its conninfo.

        UTF-8 and code-point order, whatever the server's own are: plans and figures depend on it.
        """
        # template1 may hold things of its owner's, and decides on encoding and order
        made = _ddl("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' ", self._name(label))
        return self._make(label, made + _locale(self._postgres.version_num))

    def clone(self, template: str, label: str) -> str:
        """A copy of a database that nobody is connected to, in place of any of this label."""
        statement = _ddl("CREATE DATABASE {} TEMPLATE {}", self._name(label), self._name(template))
        with self._admin() as admin:
            row = admin.execute("SELECT pg_database_size(%s)", [self._name(template)]).fetchone()
            if self._postgres.version_num >= 150000 and row and row[0] > _FILE_COPY_BYTES:
                statement += sql.SQL(" STRATEGY = FILE_COPY")
        return self._make(label, statement)

    def keep_as(self, label: str, final: str) -> None:
        """Rename a database; under its new label it is no longer dropped by ``close``."""
        with self._admin() as admin:
            admin.execute(
                _ddl("ALTER DATABASE {} RENAME TO {}", self._name(label), self._name(final))
            )
        self._made.remove(label)

    def close(self) -> None:
        """Drop what was made through this object and not kept."""
        with self._admin() as admin:
            for label in self._made:
                admin.execute(_ddl("DROP DATABASE IF EXISTS {} WITH (FORCE)", self._name(label)))
        self._made.clear()

    def label(self, conninfo: str) -> str:
        """The label of the database that a conninfo of this object leads to."""
        name = str(psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"])
        return name.removeprefix(self._postgres.prefix)

    def _name(self, label: str) -> str:
        return f"{self._postgres.prefix}{label}"

    def _make(self, label: str, statement: sql.Composed) -> str:
        name = self._name(label)
        with self._admin() as admin:
            admin.execute(_ddl("DROP DATABASE IF EXISTS {} WITH (FORCE)", name))
            admin.execute(statement)
            if self._postgres.mark:
                comment = _ddl("COMMENT ON DATABASE {} IS ", name)
                admin.execute(comment + sql.Literal(self._postgres.mark))
        if label not in self._made:
            self._made.append(label)
        return self.conninfo(label)

    @contextmanager
    def _admin(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self._postgres.conninfo(), autocommit=True) as conn:
            yield conn


def _locale(version_num: int) -> sql.SQL:
    """The same order of text as on servers that the lab starts (services.postgres_config)."""
    if version_num >= 170000:
        return sql.SQL("LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'")
    if version_num >= 150000:
        return sql.SQL("LOCALE_PROVIDER libc LOCALE 'C'")
    return sql.SQL("LOCALE 'C'")


def _ddl(template: LiteralString, *names: str) -> sql.Composed:
    return sql.SQL(template).format(*map(sql.Identifier, names))
