"""Snapshots of pg_stat_statements, and what happened between two of them."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from perflab.advisor.errors import AdvisorError, StatementError
from perflab.advisor.explain import Estimate, estimate, fingerprint, looking
from perflab.advisor.identity import statement_key
from perflab.advisor.normalised import readable
from perflab.advisor.sql import redacted

_TOP_LEVEL = 140000
"""The first server version that tells statements of functions from those of clients."""
OWN = "/* perflab */"
"""In what the advisor asks of tables of a target: not to be taken for its workload later."""


class Counters(msgspec.Struct, frozen=True):
    """What a statement has taken so far."""

    calls: int = 0
    total_ms: float = 0.0
    """Execution, planning left out."""
    rows: int = 0
    buffers: int = 0
    """8 kB pages looked at, in the server's buffers or outside."""
    temp_blocks: int = 0
    """8 kB pages written to temporary files: sorts and hashes that did not fit."""

    def since(self, earlier: Counters) -> Counters:
        """The growth; all of it where the statistics were reset in between."""
        if self.calls < earlier.calls or self.total_ms < earlier.total_ms:
            return self
        return Counters(
            *(getattr(self, name) - getattr(earlier, name) for name in self.__struct_fields__)
        )


class Seen(msgspec.Struct, frozen=True):
    """One SELECT or DML statement in a snapshot."""

    query_id: int
    text: str
    """With ``$n`` for values, as pg_stat_statements keeps it; comments and what is left of values
    taken out."""
    counters: Counters
    plan: str = ""
    """Fingerprint of its plan at that moment; empty where none was asked for or given."""
    plan_summary: str = ""
    key: str = ""
    """By which single calls of it are found, whoever saw them."""
    planned: str = ""
    """What the planner takes: as the server keeps it and made readable, never to be shown."""

    def __repr__(self) -> str:
        return f"Seen({self.query_id}, {self.text!r}, {self.counters!r}, {self.plan!r})"


class Snapshot(msgspec.Struct, frozen=True):
    """The statements of one database at one moment."""

    taken_at: datetime
    database: str
    statements: dict[int, Seen]
    others_ms: float
    """Milliseconds of what has no plan: utility statements and what this role may not see."""
    evictions: int
    """How often the server forgot statements for want of room (pg_stat_statements.max)."""
    entries: int = 0
    """All that the server counts of this database: what is not in ``statements`` as well."""


class Difference(msgspec.Struct, frozen=True):
    """What happened between two snapshots."""

    seconds: float
    statements: tuple[tuple[Seen, Seen | None], ...]
    """Each with its growth as counters, and as it was before, if it was known then."""
    total_ms: float
    """Of everything, statements that are not listed included."""
    evictions: int


def take_snapshot(conn: psycopg.Connection, *, plans: int = 20, timeout_s: float = 5.0) -> Snapshot:
    """Read pg_stat_statements for the connected database, and look at the costliest plans.

    Everything runs in a read-only transaction under a timeout. Raises AdvisorError where the
    extension is not installed or not loaded.
    """
    with looking(conn, timeout_s):
        _leave_out_own(conn)
        schema = _schema(conn)
        entries = _entries(conn, schema)
        evictions = _evictions(conn, schema)
        now = conn.execute("SELECT clock_timestamp()").fetchone()
        statements, others_ms = {}, 0.0
        for query_id, text, counters in entries:
            try:
                planned = readable(text)
            except StatementError:
                others_ms += counters.total_ms
            else:
                # comments may hold anything; literals are $n already, but for GROUP BY 1 and its
                # like, and for texts that the server had to forget in between
                statements[query_id] = Seen(
                    query_id, redacted(text), counters, key=statement_key(text), planned=planned
                )
        costly = sorted(statements.values(), key=lambda seen: -seen.counters.total_ms)[:plans]
        for seen in costly:
            statements[seen.query_id] = _with_plan(conn, seen)
    return Snapshot(
        taken_at=now[0] if now else datetime.min,
        database=conn.info.dbname,
        statements=statements,
        others_ms=others_ms,
        evictions=evictions,
        entries=len(entries),
    )


def difference(before: Snapshot, after: Snapshot) -> Difference:
    """The growth of every statement that ran in between, costliest first."""
    if before.database != after.database:
        raise AdvisorError(
            f"the snapshots are of databases {before.database!r} and {after.database!r};"
            " take both in the same one"
        )
    grown = []
    for query_id, seen in after.statements.items():
        earlier = before.statements.get(query_id)
        growth = seen.counters.since(earlier.counters if earlier else Counters())
        if growth.calls:
            grown.append((msgspec.structs.replace(seen, counters=growth), earlier))
    grown.sort(key=lambda pair: -pair[0].counters.total_ms)
    others_ms = max(0.0, after.others_ms - before.others_ms)
    return Difference(
        seconds=(after.taken_at - before.taken_at).total_seconds(),
        statements=tuple(grown),
        total_ms=sum(seen.counters.total_ms for seen, _earlier in grown) + others_ms,
        evictions=max(0, after.evictions - before.evictions),
    )


def _leave_out_own(conn: psycopg.Connection) -> None:
    """Where the role may say so, what a snapshot asks itself is not counted."""
    with suppress(psycopg.errors.InsufficientPrivilege), conn.transaction():
        conn.execute("SET LOCAL pg_stat_statements.track = 'none'")


def _schema(conn: psycopg.Connection) -> str:
    row = conn.execute(
        "SELECT extnamespace::regnamespace::text FROM pg_extension"
        " WHERE extname = 'pg_stat_statements'"
    ).fetchone()
    if row is None:
        raise AdvisorError(
            f"database {conn.info.dbname!r} has no pg_stat_statements; run CREATE EXTENSION"
            " pg_stat_statements there (the server must preload the library of that name)"
        )
    return str(row[0])


def _entries(conn: psycopg.Connection, schema: str) -> list[tuple[int, str, Counters]]:
    """Added up over users, since a query id is the same for all of them."""
    top_level = "AND toplevel" if conn.info.server_version >= _TOP_LEVEL else ""
    statement = sql.SQL(
        "SELECT coalesce(queryid, 0) AS id, min(query) AS text, sum(calls)::bigint AS calls,"
        " sum(total_exec_time) AS ms, sum(rows)::bigint AS rows,"
        " sum(shared_blks_hit + shared_blks_read)::bigint AS buffers,"
        " sum(temp_blks_written)::bigint AS temp"
        " FROM {}.pg_stat_statements WHERE dbid ="
        " (SELECT oid FROM pg_database WHERE datname = current_database()) {} GROUP BY 1"
    ).format(sql.SQL(schema), sql.SQL(top_level))
    with conn.cursor(row_factory=dict_row) as cursor:
        try:
            found = cursor.execute(statement).fetchall()
        except psycopg.errors.ObjectNotInPrerequisiteState:
            raise AdvisorError(
                "the server does not load pg_stat_statements; add it to shared_preload_libraries"
                " and restart the server"
            ) from None
    return [
        (
            r["id"],
            r["text"] or "",
            Counters(r["calls"], r["ms"], r["rows"], r["buffers"], r["temp"]),
        )
        for r in found
    ]


def _evictions(conn: psycopg.Connection, schema: str) -> int:
    row = conn.execute(
        sql.SQL("SELECT dealloc FROM {}.pg_stat_statements_info").format(sql.SQL(schema))
    ).fetchone()
    return int(row[0]) if row else 0


def _with_plan(conn: psycopg.Connection, seen: Seen) -> Seen:
    try:
        found: Estimate = estimate(conn, seen.planned)
    except psycopg.Error:
        return seen  # a type that cannot be told without its value, a table gone since
    return msgspec.structs.replace(
        seen, plan=fingerprint(found.plan), plan_summary=found.plan.summary
    )
