"""What a server does not have and figures depend on, in sentences for a reader."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import psycopg
import redis

from perflab.services.external.leftovers import connect_redis
from perflab.services.nginx import version_num as nginx_version_num
from perflab.services.servers import Nginx, Postgres, Redis


class Since(msgspec.Struct, frozen=True):
    """A feature that came with a version of PostgreSQL."""

    major: int
    name: str
    consequence: str


class SinceMinor(msgspec.Struct, frozen=True):
    """A feature that came with a version of nginx."""

    version: tuple[int, int]
    name: str
    consequence: str


class Needs(msgspec.Struct, frozen=True):
    """A feature of Redis, known by a command: Valkey's version numbers say nothing about it."""

    command: str
    name: str
    consequence: str


POSTGRES: tuple[Since, ...] = (
    Since(
        18,
        "pg_buffercache_evict_all",
        "cold_buffers=True cannot be measured",
    ),
    Since(
        18,
        "skip scans of B-trees",
        "an index of several columns hardly serves a query that does not name the first",
    ),
    Since(
        17,
        "the built-in locale C.UTF-8",
        "text is ordered by code point, but upper and lower case are known for ASCII only",
    ),
    Since(
        17,
        "B-tree scans that look up a list of values (IN) in one pass",
        "such queries gain less from an index",
    ),
    Since(
        16,
        "heap-only updates of columns that only a BRIN index covers",
        "writes pay more for a BRIN index",
    ),
    Since(
        15,
        "the choice of how a database is copied",
        "every clone is a copy of files between two checkpoints",
    ),
)
"""Newest first. Sources: release notes of PostgreSQL 15 to 18."""

REDIS: tuple[Needs, ...] = (
    Needs("HEXPIRE", "a time to live for the fields of a hash", "a hash expires as a whole"),
    Needs("FUNCTION", "function libraries", "scripts are sent with EVALSHA"),
    Needs("EXPIRETIME", "EXPIRE with NX and GT", "tag sets are given their time by a script"),
    Needs("HELLO", "RESP3 and client-side caching", "no invalidations reach a client's own cache"),
)
"""HEXPIRE: Redis 7.4, Valkey 9.0; FUNCTION, EXPIRETIME: 7.0; HELLO: 6.0."""

NGINX: tuple[SinceMinor, ...] = (
    SinceMinor(
        (1, 23),
        "variables that hold all lines of a header field",
        "the configuration reads the first line only, so that a second Vary is overlooked",
    ),
    SinceMinor(
        (1, 23),
        "a precedence of Cache-Control over Expires in any order of the two",
        "an Expires in the past that comes first keeps a response from being stored",
    ),
)
"""Source: http://nginx.org/en/CHANGES, 1.23.0."""


_MODULES = {
    "pg_stat_statements": "pg_stat_statements.max",
    "auto_explain": "auto_explain.log_min_duration",
}


def lacks(server: Postgres | Redis | Nginx) -> tuple[str, ...]:
    """What this server lacks of what the lab uses, each with what that means for the figures.

    Asks the server; reads only. A psycopg.Error or redis.RedisError where it does not answer.
    """
    if isinstance(server, Redis):
        return _redis_lacks(server)
    if isinstance(server, Nginx):
        return nginx_lacks(server.version)
    missing = postgres_lacks(server.version_num)
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        found = tuple(sentence for check in _CHECKS if (sentence := check(conn, server)))
    return (*missing, *found)


def postgres_lacks(version_num: int) -> tuple[str, ...]:
    """What a version of PostgreSQL does not have yet."""
    major = version_num // 10000
    return tuple(
        f"PostgreSQL {major} lacks {feature.name} (since {feature.major}): {feature.consequence}"
        for feature in POSTGRES
        if major < feature.major
    )


def nginx_lacks(version: str) -> tuple[str, ...]:
    """What a version of nginx does not have yet."""
    return tuple(
        f"nginx {version} lacks {feature.name} (since {'.'.join(map(str, feature.version))}):"
        f" {feature.consequence}"
        for feature in NGINX
        if nginx_version_num(version) < feature.version
    )


def _preloaded(conn: psycopg.Connection, server: Postgres) -> str:
    """Modules are known by their settings: the list of modules is for superusers only."""
    del server
    missing = [module for module, name in _MODULES.items() if _setting(conn, name) is None]
    if not missing:
        return ""
    return (
        f"the server has not preloaded {' and '.join(missing)}: its own account of single"
        " statements and plans is not to be had"
    )


def _io_timing(conn: psycopg.Connection, server: Postgres) -> str:
    del server
    if _setting(conn, "track_io_timing") != "off":
        return ""
    return "track_io_timing is off: plans do not show the time spent on reading"


def _durable(conn: psycopg.Connection, server: Postgres) -> str:
    del server
    off = [
        name
        for name in ("fsync", "full_page_writes", "synchronous_commit")
        if _setting(conn, name) == "off"
    ]
    if not off:
        return ""
    return f"{' and '.join(off)} off: writes are faster than on a server that survives a crash"


def _shared(conn: psycopg.Connection, server: Postgres) -> str:
    del conn
    if server.owned:
        return ""
    return (
        "the PostgreSQL is not the lab's: outages are made by a proxy in front of it, buffers are"
        " never emptied, checkpoints come when they come, and its log volume (WAL) counts what"
        " others write meanwhile"
    )


_CHECKS: tuple[Callable[[psycopg.Connection, Postgres], str], ...] = (
    _preloaded,
    _io_timing,
    _durable,
    _shared,
)


def _setting(conn: psycopg.Connection, name: str) -> str | None:
    row = conn.execute("SELECT current_setting(%s, true)", [name]).fetchone()
    return row[0] if row else None


def _redis_lacks(server: Redis) -> tuple[str, ...]:
    title = server.flavour.capitalize()
    try:
        with connect_redis(server.url()) as client:
            known = _known(client)
    except redis.exceptions.NoPermissionError:
        return (f"{title} does not tell this user which commands it knows",)
    missing = tuple(
        f"{title} {server.version} lacks {feature.name}: {feature.consequence}"
        for feature in REDIS
        if feature.command not in known
    )
    if server.owned:
        return missing
    return (*missing, f"the {title} is not the lab's: it is never restarted, flushed or configured")


def _known(client: redis.Redis) -> frozenset[str]:
    """Those of the commands asked about that the server has."""
    asked = [feature.command for feature in REDIS]
    # as one word: redis-py's reader of COMMAND fails at a command that is not there
    answers = client.execute_command("COMMAND INFO", *asked)  # type: ignore[no-untyped-call]
    return frozenset(name for name, answer in zip(asked, answers, strict=True) if answer)
