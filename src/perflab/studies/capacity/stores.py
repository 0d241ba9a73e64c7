"""What PostgreSQL and Redis themselves say of the time that they have worked."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psycopg
import redis

_EXTENSION: Final = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"
_SILENT: Final = "SET pg_stat_statements.track = 'none'"
_STATEMENTS: Final = """
SELECT coalesce(sum(total_plan_time + total_exec_time), 0) / 1e3, coalesce(sum(calls), 0)
FROM pg_stat_statements(false)
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""Without the statements' texts, which are kept in a file."""


@dataclass(frozen=True)
class StoreTimes:
    """Counters since the servers started, or what they grew by."""

    postgres_s: float
    """In statements of one database, a commit's write to disk not included; NaN where the server
    keeps no statistics of them."""
    statements: float
    redis_s: float
    """In commands, whoever sent them; NaN where Redis does not tell."""

    def __sub__(self, other: StoreTimes) -> StoreTimes:
        return StoreTimes(
            self.postgres_s - other.postgres_s,
            self.statements - other.statements,
            self.redis_s - other.redis_s,
        )


UNKNOWN: Final = StoreTimes(math.nan, math.nan, math.nan)


class Stores:
    """Asks both, over connections of its own.

    Args:
        conninfo: a database in which the extension may be created.
        redis_url: the Redis that the application uses.
    """

    def __init__(self, conninfo: str, redis_url: str) -> None:
        self._redis = redis.Redis.from_url(redis_url)
        self._postgres = psycopg.connect(conninfo, autocommit=True)
        self._counted = self._prepare()

    def _prepare(self) -> bool:
        """Whether the server counts statements and lets them be read."""
        try:
            self._postgres.execute(_EXTENSION)
            self._postgres.execute(_STATEMENTS)
        except psycopg.Error:
            return False
        with suppress(psycopg.errors.InsufficientPrivilege):
            self._postgres.execute(_SILENT)
        return True

    def read(self) -> StoreTimes:
        """The counters now; NaN in place of what cannot be told."""
        seconds, calls = self._statements()
        return StoreTimes(seconds, calls, self._redis_s())

    def _statements(self) -> tuple[float, float]:
        if not self._counted:
            return math.nan, math.nan
        try:
            row = self._postgres.execute(_STATEMENTS).fetchone()
        except psycopg.OperationalError:  # the server was away for a moment
            return math.nan, math.nan
        return (float(row[0]), float(row[1])) if row else (math.nan, math.nan)

    def _redis_s(self) -> float:
        """Of the event loop's own account where there is one (Redis 7.2, Valkey 8).

        The account of single commands has those of a script twice: by themselves, and in the
        script's time.
        """
        try:
            loop = self._redis.info("stats").get("eventloop_duration_cmd_sum")
            if loop is not None:
                return 1e-6 * float(loop)
            commands = self._redis.info("commandstats").values()
            return 1e-6 * sum(float(one["usec"]) for one in commands)
        except redis.RedisError:
            return math.nan

    def close(self) -> None:
        """Let go of the connections."""
        self._postgres.close()
        self._redis.close()
