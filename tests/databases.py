"""Databases that tests make for themselves."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from perflab.services import Postgres


@contextmanager
def own_database(postgres: Postgres, prefix: str, filled_by: str = "") -> Iterator[str]:
    """The conninfo of a database that only the caller uses, dropped at the end."""
    name = f"{prefix}_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        if filled_by:
            with psycopg.connect(postgres.conninfo(name), autocommit=True) as conn:
                conn.execute(filled_by.encode())
        yield postgres.conninfo(name)
    finally:
        with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
