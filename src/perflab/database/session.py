"""One database connection as the lab times it: prepared statements and pinned planning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Literal

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.numeric import Int8Dumper

PlanCacheMode = Literal["auto", "force_custom_plan", "force_generic_plan"]

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class Session:
    """An autocommit connection on which every statement is prepared at its first use.

    ``plan_cache_mode`` is pinned, since by default PostgreSQL may change to a generic plan
    after five executions, in the middle of an experiment. Integers are always sent as bigint:
    psycopg would pick a type by value and so prepare one statement several times.
    Not for use by two threads at once.
    """

    def __init__(
        self,
        conninfo: str,
        plan_cache_mode: PlanCacheMode = "force_custom_plan",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._pinned = {
            "plan_cache_mode": plan_cache_mode,
            "jit": "off",
            "TimeZone": "UTC",
            **(settings or {}),
        }
        self._conn = psycopg.connect(conninfo, autocommit=True, prepare_threshold=0)
        self._conn.prepared_max = None
        self._conn.adapters.register_dumper(int, Int8Dumper)
        for name, value in self._pinned.items():
            self._conn.execute("SELECT set_config(%s, %s, false)", [name, value])
        self._cursor = psycopg.RawCursor(self._conn)
        self._statements: dict[str, tuple[bytes, tuple[str, ...]]] = {}

    @property
    def conn(self) -> psycopg.Connection:
        """The connection itself, for what is not timed (EXPLAIN, DISCARD)."""
        return self._conn

    def settings(self) -> dict[str, str]:
        """The settings pinned for this session, to be recorded with its figures."""
        return dict(self._pinned)

    def run(self, sql: str, params: Mapping[str, object]) -> int:
        """Execute ``sql`` (``%(name)s`` placeholders), fetch its rows, return how many."""
        return len(self._execute(sql, params).fetchall())

    def write(self, sql: str, params: Mapping[str, object]) -> int:
        """Execute a statement that returns no rows; return how many rows it changed."""
        return self._execute(sql, params).rowcount

    def _execute(self, sql: str, params: Mapping[str, object]) -> psycopg.RawCursor[TupleRow]:
        found = self._statements.get(sql)
        if found is None:
            found = self._statements[sql] = positional(sql)
        statement, names = found
        return self._cursor.execute(statement, [params[name] for name in names])

    def close(self) -> None:
        """End the session; harmless when called twice."""
        self._conn.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def positional(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """``%(name)s`` placeholders as the server's own ``$1``, and the names in that order.

    Done once, it spares psycopg the translation at every call.
    """
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return _PLACEHOLDER.sub(number, sql).replace("%%", "%").encode(), tuple(names)
