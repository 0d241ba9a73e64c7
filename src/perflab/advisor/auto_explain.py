"""The plans that statements really ran with: auto_explain's messages, to a client or in a log.

A watched connection gets its own plans as notices, which leaves nothing in the server's log.
Parameters are never asked for, and of a plan only its shape is kept: conditions hold values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from perflab.advisor.calls import CallLog
from perflab.advisor.errors import AdvisorError, said
from perflab.advisor.explain import fingerprint
from perflab.database.plans import parse_plan

_PARAMETER_LENGTH = 160000
"""The first server version that can write parameters beside a plan, and be told not to."""
_SETTINGS = {
    "log_format": "json",
    "log_level": "notice",
    "log_min_duration": "0",
    "log_analyze": "off",
    "log_nested_statements": "off",
    "sample_rate": "1",
}
_USABLE = (psycopg.pq.TransactionStatus.IDLE, psycopg.pq.TransactionStatus.INTRANS)
_ENTRY = re.compile(r"duration: ([\d.]+) ms  plan:\s*")


@contextmanager
def watched(conn: psycopg.Connection, calls: CallLog) -> Iterator[None]:
    """Count every statement of a connection in ``calls``, with its duration and its plan.

    Raises AdvisorError where the library is not there or this role may not load or set it. The
    duration is the server's own: execution, neither planning nor the way to the client.
    """
    settings = dict(_SETTINGS)
    if conn.info.server_version >= _PARAMETER_LENGTH:
        settings["log_parameter_max_length"] = "0"
    try:
        conn.execute("LOAD 'auto_explain'")
        for name, value in settings.items():
            conn.execute(sql.SQL("SET {} = {}").format(_setting(name), sql.Literal(value)))
    except psycopg.Error as error:
        raise AdvisorError(f"auto_explain cannot be used here: {said(error)}") from None

    def heard(diagnostic: psycopg.errors.Diagnostic) -> None:
        count_entries(diagnostic.message_primary or "", calls)

    conn.add_notice_handler(heard)
    try:
        yield
    finally:
        conn.remove_notice_handler(heard)
        if conn.info.transaction_status in _USABLE:
            for name in settings:
                conn.execute(sql.SQL("RESET {}").format(_setting(name)))


def _setting(name: str) -> sql.Identifier:
    return sql.Identifier("auto_explain", name)


def read_log(path: Path, calls: CallLog) -> int:
    """Count the entries of a server's log (format json) in ``calls``; returns how many there are.

    For durations that stand for all calls the server must log them all
    (``auto_explain.log_min_duration = 0``) or a fair sample (``sample_rate``).
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise AdvisorError(f"{path}: cannot be read ({error.strerror})") from None
    return count_entries(text, calls)


def count_entries(text: str, calls: CallLog) -> int:
    """Count every entry in a text; one that was cut off is left out."""
    found = 0
    for match in _ENTRY.finditer(text):
        try:
            document, _end = json.JSONDecoder().raw_decode(text, match.end())
        except json.JSONDecodeError:
            continue
        found += _count(document, float(match[1]), calls)
    return found


def _count(document: Any, duration_ms: float, calls: CallLog) -> int:
    if not isinstance(document, dict) or not {"Query Text", "Plan"} <= document.keys():
        return 0
    plan = parse_plan(document)
    calls.add(
        str(document["Query Text"]), duration_ms, plan=fingerprint(plan), summary=plan.summary
    )
    return 1
