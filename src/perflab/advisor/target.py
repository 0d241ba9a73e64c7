"""Advice for a database that is in use: read its catalogs and statistics, and nothing else.

Every transaction is read-only and every statement ends in time; only plain EXPLAIN is run of the
workload. Indexes are imagined by HypoPG, which takes no lock. The advice is an estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict

from perflab.advisor.advice import Advice, Unplanned, advise, is_workload, plannable
from perflab.advisor.catalog import read_catalog
from perflab.advisor.errors import AdvisorError, said
from perflab.advisor.own_workload import own_workload
from perflab.advisor.selection import Limits
from perflab.advisor.slow_queries import SlowQuery, Thresholds, slow_since_reset
from perflab.advisor.statement_stats import Snapshot, take_snapshot
from perflab.advisor.views import read_views, written_out
from perflab.advisor.whatif import hypothetical
from perflab.advisor.workload import Statement

VARIABLE = "PERFLAB_TARGET_URL"
_CONNECT_S, _STATEMENT_S = 5, 5
_OPTIONS = (
    "-c default_transaction_read_only=on"
    f" -c statement_timeout={_STATEMENT_S}s -c lock_timeout={_STATEMENT_S}s"
    f" -c idle_in_transaction_session_timeout={60}s"
    # as what is copied is written, whatever the server's own are
    " -c client_encoding=UTF8 -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1"
)


@dataclass(frozen=True)
class TargetAdvice:
    """An estimate for a target, and the statements that it could not be asked about."""

    advice: Advice
    unplanned: tuple[Unplanned, ...]
    slow: tuple[SlowQuery, ...]
    """Of what the server itself has counted; empty where the statements came from elsewhere."""


def advise_target(
    url: str,
    statements: Sequence[Statement] | None,
    limits: Limits,
    thresholds: Thresholds | None = None,
) -> TargetAdvice:
    """Advise on ``statements``, or on what pg_stat_statements has seen where there are none.

    ``thresholds`` say which of the latter are slow.

    Raises AdvisorError where the server cannot be reached, does not keep the connection
    read-only, or has no HypoPG.
    """
    try:
        return _advise(url, statements, limits, thresholds)
    except psycopg.Error as error:
        reason = said(error)
    raise AdvisorError(f"{VARIABLE}: the server gave up ({reason}); try again, or a smaller file")


def _advise(
    url: str,
    statements: Sequence[Statement] | None,
    limits: Limits,
    thresholds: Thresholds | None,
) -> TargetAdvice:
    with looking_at(url) as conn:
        catalog = read_catalog(conn)
        asked, slow = statements, tuple[SlowQuery, ...]()
        views = read_views(conn)
        if asked is None:
            snapshot = take_snapshot(conn)
            asked = own_workload(snapshot, catalog, views).statements
            slow = _slow(snapshot, thresholds)
        else:
            asked = written_out(asked, views)
        good, unplanned = plannable(conn, asked)
        with hypothetical(conn) as what_if:
            advice = advise(good, catalog, what_if, limits)
    return TargetAdvice(advice, unplanned, slow)


def _slow(snapshot: Snapshot, thresholds: Thresholds | None) -> tuple[SlowQuery, ...]:
    found = slow_since_reset(snapshot, thresholds)
    return tuple(one for one in found if is_workload(snapshot.statements[one.query_id]))


@contextmanager
def looking_at(url: str) -> Iterator[psycopg.Connection]:
    """A connection that cannot write; no message of its errors quotes the URL."""
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:  # its text quotes the URL
        parts = {}
    if not parts:
        raise AdvisorError(
            f"{VARIABLE} is no PostgreSQL URL; write postgresql://USER:PASSWORD@HOST:5432/DATABASE"
        )
    if parts.get("options"):
        raise AdvisorError(f"{VARIABLE} sets options, which the advisor needs for itself")
    reason = ""
    try:
        conn = psycopg.connect(
            url,
            autocommit=True,
            options=_OPTIONS,
            connect_timeout=_CONNECT_S,
            application_name="perflab advise",
        )
    except psycopg.Error as error:
        reason = " ".join(str(error).split()).rpartition("failed: ")[2] or "no reason given"
    if reason:
        password = parts.get("password", "")
        shown = "no reason that can be shown" if password and password in reason else reason
        raise AdvisorError(f"{VARIABLE} cannot be connected to: {shown}")
    with conn:
        row = conn.execute("SHOW transaction_read_only").fetchone()
        if row != ("on",):
            raise AdvisorError(
                f"{VARIABLE} leads to a connection that does not stay read-only (a pooler?);"
                " name the server itself"
            )
        yield conn
