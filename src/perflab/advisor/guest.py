"""A role that may read and write rows of one copy and nothing else: statements of others run as it.

Even an administrator's connection is this role from its first statement on, and a timeout ends
what takes too long.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from perflab.advisor.errors import AdvisorError

_RIGHTS = sql.SQL("SELECT, INSERT, UPDATE, DELETE")


@contextmanager
def guest_on(
    conninfos: Sequence[str], schemas: Sequence[str], timeout_s: float
) -> Iterator[tuple[str, ...]]:
    """The same databases of one server as a role that is no superuser; it is dropped at the end.

    Raises AdvisorError where the connecting role may make no roles.
    """
    role = f"perflab_guest_{secrets.token_hex(4)}"
    with psycopg.connect(conninfos[0], autocommit=True) as admin:
        try:
            admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        except psycopg.errors.InsufficientPrivilege:
            raise AdvisorError(
                f"the role {admin.info.user!r} may make no roles, and statements of a file are run"
                " as a guest only; name a superuser, or let the lab start a server"
                " (--services embedded)"
            ) from None
        try:
            for conninfo in conninfos:
                _grant(conninfo, role, schemas)
            options = f"-c role={role} -c statement_timeout={round(timeout_s * 1000)}"
            yield tuple(make_conninfo(conninfo, options=options) for conninfo in conninfos)
        finally:
            for conninfo in conninfos:
                with psycopg.connect(conninfo, autocommit=True) as conn:
                    conn.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def _grant(conninfo: str, role: str, schemas: Sequence[str]) -> None:
    to = sql.Identifier(role)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for schema in map(sql.Identifier, schemas):
            conn.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, to))
            for kind, rights in (("TABLES", _RIGHTS), ("SEQUENCES", sql.SQL("USAGE, SELECT"))):
                conn.execute(
                    sql.SQL("GRANT {} ON ALL {} IN SCHEMA {} TO {}").format(
                        rights, sql.SQL(kind), schema, to
                    )
                )
