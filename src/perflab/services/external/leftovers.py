"""What a lab leaves on the user's own servers, and its removal: databases, roles, keys of its own.

Whatever the lab makes there has a name with the lab's prefix. The prefix and how to reach the
server are written into the lab's folder before any database or key is made (a mark on a Redis
apart). So the clean-up works at every moment: by ``close()``; by the watchdog when the owner has
been killed, which runs ``python -m perflab.services.external.leftovers FOLDER``; and else by the
next lab on that server, which finds the marks of labs that are dead.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psycopg
import redis
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

from perflab.services.errors import ServiceError
from perflab.services.owner import Mark

_FILES = "leftovers-*.json"
_LIMIT_S = 15.0
_POLL_S = 0.1
_OWN_PREFIX = re.compile(r"perflab_[0-9a-f]{8}_")
_BATCH = 1000


class Leftovers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to reach what a lab made on one server; holds a password."""

    mark: str
    conninfo: str = ""
    """A PostgreSQL that has databases of the lab's."""
    url: str = ""
    """A Redis that has keys of the lab's."""
    labs: str = ""
    """The key of the hash in which that Redis has the marks of its labs."""


def write_down(folder: Path, leftovers: Leftovers) -> None:
    """Record in the lab's folder what to remove; before it is made."""
    name = "leftovers-postgres.json" if leftovers.conninfo else "leftovers-redis.json"
    handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(leftovers))


def clear(folder: Path, *, only_own: bool = False) -> None:
    """Remove what is written down in a lab's folder; a ServiceError names what could not be.

    With ``only_own`` nothing is done in another process than the one that wrote it down.
    """
    failures = []
    for path in sorted(folder.glob(_FILES)):
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Leftovers)
        except (OSError, msgspec.DecodeError):
            continue  # killed while it was written: nothing has been made yet
        mark = Mark.read(found.mark)
        if mark is None or (only_own and not mark.is_own):
            continue
        try:
            if found.conninfo:
                drop_databases(found.conninfo, mark.prefix)
            else:
                with connect_redis(found.url) as client:
                    drop_keys(client, mark.prefix, found.labs)
        except (psycopg.Error, redis.RedisError, OSError) as error:
            failures.append(f"{mark.prefix}* ({' '.join(str(error).split())})")
        else:
            path.unlink(missing_ok=True)
    if failures:
        raise ServiceError(
            f"what begins with {' and '.join(failures)} could not be removed from the server;"
            " the next lab on it from this machine will, or remove it by hand"
        )


def drop_databases(conninfo: str, prefix: str) -> None:
    """Drop every database, and then every role, whose name begins with ``prefix``.

    A session of the lab's may be making one at this moment, also where its client is dead: those
    sessions are ended first, and it is over after two looks that found nothing.
    """
    _refuse_short(prefix)
    end = time.monotonic() + _LIMIT_S
    empty_looks = 0
    with psycopg.connect(conninfo, autocommit=True, application_name="perflab clean-up") as conn:
        while empty_looks < 2:
            ended = conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = %s AND usename = current_user",
                [prefix],
            ).fetchall()
            names = [
                row[0]
                for row in conn.execute(
                    "SELECT datname FROM pg_database"
                    " WHERE starts_with(datname, %s) AND pg_has_role(datdba, 'MEMBER')",
                    [prefix],
                )
            ]
            failure = _drop(conn, names)
            if failure and time.monotonic() > end:
                raise failure
            empty_looks = 0 if ended or names else empty_looks + 1
            if empty_looks < 2:
                time.sleep(_POLL_S)
        # what they were granted went with the databases
        roles = conn.execute(
            "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", [prefix]
        ).fetchall()
        for (role,) in roles:
            conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def sweep_databases(conninfo: str) -> tuple[str, ...]:
    """Drop the databases of labs whose process is known to be dead; returns their prefixes.

    Only databases that carry a lab's mark, and those with the same prefix: one whose making
    outlived its lab has no mark yet.
    """
    with psycopg.connect(conninfo, autocommit=True) as conn:
        comments = conn.execute(
            "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database"
            " WHERE starts_with(datname, 'perflab_') AND pg_has_role(datdba, 'MEMBER')"
        ).fetchall()
    marks = [(name, mark) for name, text in comments if (mark := Mark.read(text))]
    dead = {
        mark.prefix
        for name, mark in marks
        if mark.has_ended and _OWN_PREFIX.fullmatch(mark.prefix) and name.startswith(mark.prefix)
    }
    for prefix in dead:
        drop_databases(conninfo, prefix)
    return tuple(sorted(dead))


def _refuse_short(prefix: str) -> None:
    if not _OWN_PREFIX.fullmatch(prefix):
        raise ServiceError(f"{prefix!r} is not the prefix of a lab; nothing was dropped")


def _drop(conn: psycopg.Connection, names: Iterable[str]) -> psycopg.Error | None:
    """Drop what can be dropped; the last error, e.g. that somebody else's session is in one."""
    failure = None
    for name in names:
        try:
            conn.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )
        except psycopg.Error as error:
            failure = error
    return failure


def connect_redis(url: str) -> redis.Redis:
    """A client that gives up at the first failure; socket time limits stand in the URL."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))


def has_keys(client: redis.Redis, prefix: str) -> bool:
    """Whether any key begins with ``prefix``."""
    return next(iter(client.scan_iter(match=_pattern(prefix), count=_BATCH)), None) is not None


def drop_keys(client: redis.Redis, prefix: str, labs: str) -> None:
    """Delete every key that begins with ``prefix``, and its lab's mark in the hash ``labs``."""
    while True:
        found = 0
        batch: list[bytes] = []
        for key in client.scan_iter(match=_pattern(prefix), count=_BATCH):
            batch.append(key)
            if len(batch) == _BATCH:
                found += client.unlink(*batch)
                batch.clear()
        if batch:
            found += client.unlink(*batch)
        if not found:
            break
    client.hdel(labs, prefix)


def sweep_keys(client: redis.Redis, labs: str) -> tuple[str, ...]:
    """Delete the keys of labs whose process is known to be dead; returns their prefixes."""
    dead = []
    for text in client.hvals(labs):
        mark = Mark.read(text)
        if mark and mark.has_ended and client.hexists(labs, mark.prefix):
            drop_keys(client, mark.prefix, labs)
            dead.append(mark.prefix)
    return tuple(dead)


def _pattern(prefix: str) -> str:
    return re.sub(r"([*?\[\]\\^])", r"\\\1", prefix) + "*"


def main() -> None:
    """Clear the folder given as the only argument, quietly: nobody is there to read."""
    with contextlib.suppress(ServiceError):
        clear(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
