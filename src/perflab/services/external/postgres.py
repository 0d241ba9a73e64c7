"""A PostgreSQL of the user's own: reached by its URL, looked at, and never changed."""

from __future__ import annotations

import re
import secrets
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from perflab.services.addresses import PostgresAddress
from perflab.services.external.urls import (
    CONNECT_S,
    after_scheme,
    explained,
    given,
    malformed,
    refusal,
)
from perflab.services.owner import Mark

SCHEMES = ("postgresql", "postgres")
OLDEST = 140000
_FIGURES_DEPEND_ON = (
    "autovacuum",
    "checkpoint_timeout",
    "commit_delay",
    "data_checksums",
    "default_statistics_target",
    "effective_cache_size",
    "effective_io_concurrency",
    "fsync",
    "full_page_writes",
    "huge_pages",
    "io_method",
    "jit",
    "maintenance_work_mem",
    "max_connections",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_wal_size",
    "random_page_cost",
    "seq_page_cost",
    "shared_buffers",
    "shared_preload_libraries",
    "ssl",
    "synchronous_commit",
    "synchronous_standby_names",
    "track_io_timing",
    "wal_buffers",
    "wal_compression",
    "wal_level",
    "work_mem",
)
"""Recorded with every result. A list of names: other settings can hold a password."""
_ALWAYS = ("fsync", "synchronous_commit", "shared_buffers")
_REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        r"password authentication failed|no password supplied|authentication failed for user",
        "is refused by {where}: wrong user or password",
        "correct them in the URL, in PGPASSWORD or in the password file",
    ),
    (
        r"role .* does not exist|not permitted to log in",
        "names a user that {where} does not let in",
        "correct the user name, or have the role made with LOGIN and CREATEDB",
    ),
    (
        r"database .* does not exist|not currently accepting connections",
        "names a database that is not to be had on {where}",
        "name one that exists, e.g. /postgres (the lab connects there and makes its own)",
    ),
    (
        r"failed to resolve|could not translate host name|Name or service not known",
        "names a host that is not known ({where})",
        "correct the host",
    ),
    (
        r"invalid response|closed the connection unexpectedly|expected authentication request",
        "leads to {where}, where something else than PostgreSQL answers",
        "correct host and port",
    ),
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "is refused by {where}: {said}",
        "have an entry added, name another user, or ask for TLS with sslmode=require in the URL",
    ),
    (
        r"certificate|SSL|TLS|no encryption|GSSAPI|sslmode",
        "and {where} do not agree on TLS: {said}",
        "correct sslmode, sslrootcert and the like in the URL",
    ),
    (
        r"Connection refused|No such file or directory|Network is unreachable|No route to host",
        "leads to {where}, where no server listens",
        "start the server or correct host and port",
    ),
    (
        r"timeout expired|timed out|connection timeout",
        "leads to {where}, which does not answer",
        "start the server, correct host and port, or set connect_timeout in the URL",
    ),
    (
        r"too many (clients|connections)|remaining connection slots",
        "leads to {where}, which has no connection to spare",
        "end other sessions, or raise max_connections or the role's CONNECTION LIMIT",
    ),
    (
        r"the database system is",
        "leads to {where}, which is starting, stopping or recovering",
        "wait for it to take connections",
    ),
)


def find() -> PostgresAddress:
    """The PostgreSQL of the URL, with a prefix of this lab's own; a RungUnavailable says why not.

    Nothing is written to the server.
    """
    wanted = _wanted()
    with _connect(wanted) as conn:
        conn.autocommit = True
        where = _where(wanted)
        _check(conn, where)
        info = conn.info
        # what libpq found in PGPASSWORD or in the password file, which may hold it for this
        # database only
        password = info.password
        prefix = f"perflab_{secrets.token_hex(4)}_"
        return PostgresAddress(
            rung="url",
            owned=False,
            version=_version(conn),
            build=_version(conn),
            host=info.host,
            port=info.port,
            user=info.user,
            password=password,
            settings=_settings(conn),
            prefix=prefix,
            dbname=info.dbname,
            options={
                key: value
                for key, value in wanted.items()
                if key not in ("host", "port", "user", "password", "dbname", "application_name")
            },
            mark=Mark.of_this_process(prefix).text,
        )


def _wanted() -> dict[str, str]:
    """The connection parameters of the URL."""
    url = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", given("postgres"))
    rest = after_scheme("postgres", url, SCHEMES, "/")
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    names = [
        part.partition("=")[0]
        for part in rest.rpartition("@")[2].partition("?")[2].split("&")
        if part
    ]
    unknown = next((name for name in names if name not in known and name.isidentifier()), None)
    if unknown:
        raise malformed("postgres", f"has a parameter {unknown} that libpq does not know")
    parts = _parse(url)
    if parts is None:
        raise malformed("postgres")
    if any("," in parts.get(key, "") for key in ("host", "hostaddr")):
        raise refusal("postgres", "names several servers", "name the one that is to be measured")
    port = parts.get("port", "5432")
    if not re.fullmatch(r"\d{1,5}", port) or not 0 < int(port) < 2**16:
        raise malformed("postgres", "has a port that is not a number from 1 to 65535")
    if not parts.get("connect_timeout", "").isdigit() or parts["connect_timeout"] == "0":
        parts["connect_timeout"] = str(CONNECT_S)
    return parts


def _parse(url: str) -> dict[str, str] | None:
    try:
        return {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:  # its text quotes the URL
        return None


def _connect(wanted: dict[str, str]) -> psycopg.Connection:
    try:
        return psycopg.connect(**_arguments(wanted))
    except psycopg.Error as error:
        said = " ".join(str(error).split())
    said = said.rpartition("failed: ")[2]
    password = wanted.get("password", "")
    raise explained("postgres", said, password, _where(wanted), _REFUSALS)


def _arguments(wanted: dict[str, str]) -> dict[str, Any]:
    # without an encoding text from a database of SQL_ASCII would be bytes
    return wanted | {"application_name": "perflab", "client_encoding": "UTF8"}


def _where(wanted: dict[str, str]) -> str:
    host = wanted.get("host") or wanted.get("hostaddr") or "the local socket"
    port = wanted.get("port")
    return f"{host}:{port}" if port else host


def _check(conn: psycopg.Connection, where: str) -> None:
    """Refuse a server on which the lab could not work; reads only."""
    if conn.info.server_version < OLDEST:
        raise refusal(
            "postgres",
            f"leads to PostgreSQL {_version(conn)} on {where}",
            f"name a server of version {OLDEST // 10000} or newer",
        )
    try:
        row = conn.execute(
            "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::bool,"
            " rolcreatedb OR rolsuper, pg_backend_pid()"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        said = "its role is not to be found in pg_roles"
    except psycopg.Error as error:
        row, said = None, " ".join(str(error).split())
    if row is None:
        raise refusal(
            "postgres", f"is refused by {where}: {said}", "name a database of a PostgreSQL"
        )
    in_recovery, read_only, may_create, pid = row
    if in_recovery or read_only:
        what = "a standby in recovery" if in_recovery else "read-only for this user"
        raise refusal(
            "postgres", f"leads to {where}, which is {what}", "name a primary that can be written"
        )
    if pid != conn.info.backend_pid:
        raise refusal(
            "postgres",
            f"leads to a connection pooler on {where}",
            "name the server itself: prepared statements and the lab's databases pass by no pooler",
        )
    if not may_create:
        raise refusal(
            "postgres",
            f"names the role {conn.info.user!r}, which may not create databases on {where}",
            "name another, or have a superuser run ALTER ROLE ... CREATEDB",
        )


def _version(conn: psycopg.Connection) -> str:
    """As people say it: ``15.14`` out of ``15.14 (Debian 15.14-0+deb12u1)``."""
    return (conn.info.parameter_status("server_version") or "0").split()[0]


def _settings(conn: psycopg.Connection) -> dict[str, str]:
    """The settings that figures depend on, where they differ from PostgreSQL's defaults."""
    found = conn.execute(
        "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)"
        " AND (setting IS DISTINCT FROM boot_val OR name = ANY(%s)) ORDER BY name",
        [list(_FIGURES_DEPEND_ON), list(_ALWAYS)],
    ).fetchall()
    return {name: value for name, value in found if value}
