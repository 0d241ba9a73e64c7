"""A bounded pool of connections whose reads and writes survive a server's restart.

It is asynchronous: one event loop serves any number of callers over ten connections, which is
what the HTTP service needs; a thread that wants it runs an event loop of its own.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar

import msgspec
import psycopg
import psycopg_pool
import stamina
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int8Dumper

from perflab.database.faults import is_connection_loss, is_worth_retrying
from perflab.errors import PerflabError
from perflab.histogram import Buckets, Histogram

T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Work = Callable[[Connection], Awaitable[T]]


class PoolTimeout(PerflabError):
    """Every connection stayed in use for longer than a caller may wait."""


class DatabaseUnavailable(PerflabError):
    """The server could not be reached before the deadline."""


class PoolStats(msgspec.Struct, frozen=True):
    """A snapshot of a pool since it was opened."""

    size: int
    """Connections that exist, in use or not."""
    available: int
    """Connections waiting for a caller."""
    waiting: int
    """Callers waiting for a connection."""
    requests: int
    """Connections asked for."""
    queued: int
    """Requests that had to wait."""
    wait_ms: int
    """Time that requests have waited in all."""
    usage_ms: int
    """Time that connections were out with a caller, in all."""
    lost: int
    """Connections found broken and replaced."""
    retries: int
    """Reads and writes run again."""
    replays: int
    """Writes whose first run had been applied after all: their stored outcome was returned."""
    errors: int
    """Reads and writes that ended in an exception, for want of a connection or otherwise."""
    acquire_s: Buckets
    """How long a caller was without the connection asked for, got in the end or not."""


class Pool:
    """At most ``max_size`` connections; more callers than that wait in line.

    >>> async with Pool(conninfo) as pool:
    ...     rows = await pool.read(fetch_tasks)
    ...     await pool.write("order-17", insert_order)

    Waiting:
        wait_timeout_s: how long a caller waits for a connection while all are in use, after
            which PoolTimeout is raised.
        max_waiting: how many may wait at once; one more gets PoolTimeout immediately.
    Retrying (with jitter; a caller's work is run again from its beginning):
        deadline_s: how long after its first attempt a read or write may still be tried again.
            An outage is waited out until then and ends in DatabaseUnavailable.
    Connections:
        settings: server settings of each connection, such as ``{"plan_cache_mode": ...}``.
        kept: whether a connection outlives its use. False connects for every read and write,
            still at most ``max_size`` times at once: what there is without a pool.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        min_size: int = 2,
        max_size: int = 10,
        wait_timeout_s: float = 5.0,
        max_waiting: int = 1_000,
        deadline_s: float = 30.0,
        settings: Mapping[str, str] | None = None,
        kept: bool = True,
    ) -> None:
        self._settings = dict(settings or {})
        self._wait_timeout_s = wait_timeout_s
        self._deadline_s = deadline_s
        self._retries = self._replays = self._given_up = self._in_use = 0
        self._checking = False
        self._acquire = Histogram()
        kind = psycopg_pool.AsyncConnectionPool if kept else psycopg_pool.AsyncNullConnectionPool
        self._pool: psycopg_pool.AsyncConnectionPool[Connection] = kind(
            conninfo,
            connection_class=psycopg.AsyncConnection[tuple[Any, ...]],
            # no BEGIN and COMMIT around a single read; writes open their own transaction
            kwargs={"autocommit": True},
            min_size=min(min_size, max_size) if kept else 0,
            max_size=max_size,
            timeout=wait_timeout_s,
            max_waiting=max_waiting,
            configure=self._configure,
            open=False,
        )

    async def open(self) -> None:
        """Connect ``min_size`` times; DatabaseUnavailable if that takes over ``deadline_s``."""
        try:
            await self._pool.open(wait=True, timeout=self._deadline_s)
        except psycopg_pool.PoolTimeout as error:
            await self._pool.close()
            raise DatabaseUnavailable(
                f"no connection to the database within {self._deadline_s:g} s ({_line(error)}); "
                "check that the server runs and that the address and password are right"
            ) from None

    async def close(self) -> None:
        """Close every connection; harmless when called twice."""
        await self._pool.close()

    async def __aenter__(self) -> Pool:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def read(self, work: Work[T]) -> T:
        """Run ``work``, and again if its connection was lost or it was rolled back.

        ``work`` gets an autocommit connection and must change nothing.
        """
        return await self._retried("read", work)

    async def write(self, key: str, work: Work[Any]) -> Any:
        """Run ``work`` in one transaction, applied exactly once however often it is run.

        ``key`` names the intention ("order-17"). It is stored in the same transaction, so that
        when a connection is lost during COMMIT, whose fate is then unknown, running again
        finds out: a stored key means that the first run was applied, and its outcome is
        returned. ``work`` must not commit and returns what JSON can hold.
        """

        async def transaction(conn: Connection) -> Any:
            async with conn.transaction():
                # waits for a transaction with the same key that is still under way
                inserted = await conn.execute(
                    "INSERT INTO idempotency_keys (key) VALUES (%s) ON CONFLICT DO NOTHING "
                    "RETURNING key",
                    [key],
                )
                if await inserted.fetchone() is None:
                    stored = await conn.execute(
                        "SELECT outcome FROM idempotency_keys WHERE key = %s", [key]
                    )
                    self._replays += 1
                    row = await stored.fetchone()
                    return row[0] if row else None
                outcome = await work(conn)
                await conn.execute(
                    "UPDATE idempotency_keys SET outcome = %s WHERE key = %s",
                    [Jsonb(outcome), key],
                )
                return outcome

        return await self._retried("write", transaction)

    async def forget_keys(self, older_than_s: float) -> int:
        """Delete idempotency keys that no caller can still be retrying; returns how many."""
        async with self._connection() as conn:
            deleted = await conn.execute(
                "DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(secs => %s)",
                [older_than_s],
            )
            return deleted.rowcount

    def stats(self) -> PoolStats:
        """What the pool has done so far."""
        found = self._pool.get_stats()
        return PoolStats(
            size=found.get("pool_size", 0),
            available=found.get("pool_available", 0),
            waiting=found.get("requests_waiting", 0),
            requests=found.get("requests_num", 0),
            queued=found.get("requests_queued", 0),
            wait_ms=found.get("requests_wait_ms", 0),
            usage_ms=found.get("usage_ms", 0),
            lost=found.get("connections_lost", 0) + found.get("returns_bad", 0),
            retries=self._retries,
            replays=self._replays,
            errors=self._given_up,
            acquire_s=self._acquire.snapshot(),
        )

    async def _retried(self, what: str, work: Work[T]) -> T:
        try:
            async for attempt in stamina.retry_context(
                on=is_worth_retrying,
                attempts=None,
                timeout=self._deadline_s,
                wait_initial=0.05,
                wait_max=1.0,
                wait_jitter=0.2,
            ):
                self._retries += attempt.num > 1
                with attempt:
                    return await self._once(work)
        except Exception as error:
            self._given_up += 1
            if is_connection_loss(error) or isinstance(error, psycopg_pool.PoolTimeout):
                raise DatabaseUnavailable(
                    f"a {what} failed for {self._deadline_s:g} s ({_line(error)}); "
                    "check that the server runs"
                ) from error
            raise
        raise AssertionError("stamina ended without an outcome")

    async def _once(self, work: Work[T]) -> T:
        try:
            async with self._connection() as conn:
                return await work(conn)
        except psycopg.OperationalError as error:
            if is_connection_loss(error):
                await self._replace_broken()
            raise

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        began = time.perf_counter()
        try:
            conn = await self._pool.getconn()
        except psycopg_pool.PoolTimeout as error:
            if self._in_use < self._pool.max_size:
                raise  # not saturated: the server is away, wait on up to the deadline
            raise self._saturated(f"none became free within {self._wait_timeout_s:g} s") from error
        except psycopg_pool.TooManyRequests as error:
            raise self._saturated("no more callers may wait") from error
        finally:
            self._acquire.observe(time.perf_counter() - began)
        self._in_use += 1
        try:
            yield conn
        finally:
            try:
                await self._pool.putconn(conn)
            finally:
                # not before: who gives up meanwhile would take a busy pool for a server away
                self._in_use -= 1

    def _saturated(self, what: str) -> PoolTimeout:
        waiting = self._pool.get_stats().get("requests_waiting", 0)
        return PoolTimeout(
            f"all {self._pool.max_size} connections are in use: {what}, {waiting} callers "
            "waiting; shorten the transactions or raise max_size"
        )

    async def _replace_broken(self) -> None:
        """After one loss test the idle connections too: a restart breaks all of them at once."""
        if self._checking:
            return
        self._checking = True
        try:
            await self._pool.check()
        finally:
            self._checking = False

    async def _configure(self, conn: Connection) -> None:
        conn.adapters.register_dumper(int, Int8Dumper)
        for name, value in self._settings.items():
            await conn.execute("SELECT set_config(%s, %s, false)", [name, value])


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
