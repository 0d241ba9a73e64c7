"""A lab with small databases of its own, for the tests of studies that open whole servers."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from perflab.schema.population import Population
from perflab.schema.seed import create_schema, finish, load
from perflab.services import Services

USERS = 120


class SmallLab:
    """As far as a study needs one: it loads a database anew where the lab clones one."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.closing = ExitStack()

    @property
    def datasets(self) -> Any:
        """Itself: it has just the one database."""
        return self

    def clone(self, label: str) -> str:
        """A freshly loaded database; returns its conninfo."""
        postgres = self.services.postgres
        name = f"test_{label}_{secrets.token_hex(4)}"
        self._execute("CREATE DATABASE {}", name)
        self.closing.callback(self._execute, "DROP DATABASE {} WITH (FORCE)", name)
        conninfo = postgres.conninfo(name)
        with psycopg.connect(conninfo, autocommit=True) as conn:
            create_schema(conn)
            load(conn, Population(users=USERS, seed=7))
            finish(conn, checkpoint=False)
        return conninfo

    def at_close(self, callback: Callable[[], object]) -> None:
        """Call something when the lab closes."""
        self.closing.callback(callback)

    def _execute(self, statement: LiteralString, name: str) -> None:
        with psycopg.connect(self.services.postgres.conninfo(), autocommit=True) as conn:
            conn.execute(sql.SQL(statement).format(sql.Identifier(name)))
