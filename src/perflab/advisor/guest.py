"""A role that may read and write rows of one copy and nothing else: statements of others run as it.

It logs in by itself, so that its sessions have no other role to go back to; a timeout ends what
takes too long, and where the lab may say so, temporary files have a limit.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from perflab.advisor.errors import AdvisorError
from perflab.advisor.settings import with_settings

_RIGHTS = sql.SQL("SELECT, INSERT, UPDATE, DELETE")
_TEMP_FILES = "1GB"
_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)'"


@contextmanager
def guest_on(
    conninfos: Sequence[str], schemas: Sequence[str], timeout_s: float
) -> Iterator[tuple[str, ...]]:
    """The same databases of one server as a role that is no superuser, dropped at the end.

    Raises AdvisorError where the connecting role may make no roles.
    """
    role, password = _role(conninfos[0]), secrets.token_hex(16)
    name = sql.Identifier(role)
    with psycopg.connect(conninfos[0], autocommit=True) as admin:
        try:
            made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            admin.execute(made.format(name, sql.Literal(password)))
            # who is no superuser may end a role's sessions and rights as a member only
            admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
        except psycopg.errors.InsufficientPrivilege:
            raise AdvisorError(
                f"the role {admin.info.user!r} may make no roles, and statements of a file are run"
                " as a guest only; name a superuser, or let the lab start a server"
                " (--services embedded)"
            ) from None
        try:
            with suppress(psycopg.errors.InsufficientPrivilege):
                limit = sql.SQL("ALTER ROLE {} SET temp_file_limit = {}")
                admin.execute(limit.format(name, sql.Literal(_TEMP_FILES)))
            for conninfo in conninfos:
                _grant(conninfo, role, schemas)
            timeout = f"{round(timeout_s * 1000)}"
            guests = tuple(
                make_conninfo(
                    with_settings(conninfo, statement_timeout=timeout), user=role, password=password
                )
                for conninfo in conninfos
            )
            _check_door(guests[0])
            yield guests
        finally:
            for conninfo in conninfos:
                with psycopg.connect(conninfo, autocommit=True) as conn:
                    conn.execute(sql.SQL("DROP OWNED BY {}").format(name))
            admin.execute(sql.SQL("DROP ROLE {}").format(name))


def _role(conninfo: str) -> str:
    """A name that begins as those of the lab's databases there: so a clean-up finds the role."""
    prefix = re.match(r"perflab_[0-9a-f]{8}_", str(conninfo_to_dict(conninfo).get("dbname", "")))
    return f"{prefix[0] if prefix else 'perflab_'}guest_{secrets.token_hex(4)}"


def _check_door(conninfo: str) -> None:
    try:
        psycopg.connect(conninfo).close()
    except psycopg.OperationalError:
        pass
    else:
        return
    raise AdvisorError(
        "the server does not let a new role of the lab's log in by password (pg_hba.conf), and"
        " statements of a file are run as a guest only; let the lab start a server"
        " (--services embedded)"
    )


def _grant(conninfo: str, role: str, schemas: Sequence[str]) -> None:
    to = sql.Identifier(role)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for (name,) in conn.execute(_SCHEMAS).fetchall():  # types and operators are there as well
            usage = sql.SQL("GRANT USAGE ON SCHEMA {} TO {}")
            conn.execute(usage.format(sql.Identifier(name), to))
        for schema in map(sql.Identifier, schemas):
            for kind, rights in (("TABLES", _RIGHTS), ("SEQUENCES", sql.SQL("USAGE, SELECT"))):
                conn.execute(
                    sql.SQL("GRANT {} ON ALL {} IN SCHEMA {} TO {}").format(
                        rights, sql.SQL(kind), schema, to
                    )
                )
