"""Statements timed where they are sent from, for servers that count none.

What a client sees is longer than what the server counts: it holds planning, the network and the
fetching of a result. Texts are kept without values, parameters are not even looked at.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from perflab.advisor.calls import CallLog

_PLACEHOLDER = re.compile(r"%(%|[sbt]|\((\w+)\)[sbt])")


def recording_cursor(
    calls: CallLog, clock: Callable[[], float] = time.perf_counter
) -> type[psycopg.Cursor[Any]]:
    """A cursor class that counts its statements in ``calls``.

    Use it as ``psycopg.connect(..., cursor_factory=recording_cursor(calls))``; a pool takes it
    in ``kwargs``. A statement that fails is not counted.
    """

    class RecordingCursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **how: Any) -> RecordingCursor:
            started = clock()
            super().execute(query, params, **how)
            _add(calls, self, query, params, clock() - started)
            return self

    return RecordingCursor


def recording_async_cursor(
    calls: CallLog, clock: Callable[[], float] = time.perf_counter
) -> type[psycopg.AsyncCursor[Any]]:
    """The same for ``psycopg.AsyncConnection``."""

    class RecordingAsyncCursor(psycopg.AsyncCursor[Any]):
        async def execute(self, query: Any, params: Any = None, **how: Any) -> RecordingAsyncCursor:
            started = clock()
            await super().execute(query, params, **how)
            _add(calls, self, query, params, clock() - started)
            return self

    return RecordingAsyncCursor


def _add(
    calls: CallLog,
    cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any],
    query: Any,
    params: Any,
    duration_s: float,
) -> None:
    text = _text(query, cursor)
    if params is not None:  # without them a percent sign is one
        text = numbered(text)
    calls.add(text, 1_000 * duration_s, max(0, cursor.rowcount))


def _text(query: Any, cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]) -> str:
    if isinstance(query, sql.Composable):
        return query.as_string(cursor)
    return query.decode() if isinstance(query, bytes) else str(query)


def numbered(text: str) -> str:
    """A statement with psycopg's placeholders as the server's own ``$n``."""
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        name = match[2] or f"#{len(names)}"
        return f"${names.setdefault(name, len(names) + 1)}"

    return _PLACEHOLDER.sub(number, text)
