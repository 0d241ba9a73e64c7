"""Connections: one per query against a pool, many callers on few, and a restart survived."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import psycopg
from psycopg_pool import ConnectionPool

from perflab.database.pool import Pool, PoolStats
from perflab.database.session import Session
from perflab.errors import PerflabError
from perflab.measure.claims import Claims
from perflab.measure.comparison import compare
from perflab.measure.experiment import Draw, Operation, Params
from perflab.measure.results import Origin, Result
from perflab.measure.statistics import exact
from perflab.profiles import DatabaseSizes
from perflab.progress import Step
from perflab.services import Postgres
from perflab.services.proxy import Proxy, postgres_proxy
from perflab.studies.database.arms import Arms
from perflab.studies.database.contrast import run_contrast
from perflab.studies.database.own_tables import LOOKUP
from perflab.studies.database.verdicts import judge_counts
from perflab.studies.frames import comparison_row
from perflab.studies.loops import in_own_loop

CALLERS = 50
POOL_MAX = 10
"""The plan's pool."""
CALLS = 40
"""Queries of each caller."""
BEFORE_S, AFTER_S = 1.0, 1.0
"""How long readers and writers run before the outage, and after the server is back."""
AWAY_S = 1.0
"""How long a proxy keeps everybody away from a server that must not be stopped."""
RESTARTED = "the server was stopped as in a crash and started again"
CUT = "connections were cut and refused by a proxy; the server itself never stopped"
_PAUSE_S = 0.01


def measure_connections(
    arms: Arms, sizes: DatabaseSizes, seed: int, step: Step | None = None
) -> pd.DataFrame:
    """The same primary-key lookup over a connection of its own and over a pooled one."""
    with ConnectionPool(
        arms.after, min_size=1, max_size=1, kwargs={"autocommit": True}, open=True
    ) as pool:

        def connect(_session: Session, _operation: Operation, params: Params) -> int:
            with psycopg.connect(arms.after, autocommit=True) as conn:
                return len(conn.execute(LOOKUP, params).fetchall())

        def pooled(_session: Session, _operation: Operation, params: Params) -> int:
            with pool.connection() as conn:
                return len(conn.execute(LOOKUP, params).fetchall())

        samples = run_contrast(
            (arms.after, arms.after, arms.after),
            (connect, pooled, pooled),
            [
                Operation(
                    "lookup", "connections", lambda rng: Draw({"id": int(rng.integers(1, 1000))})
                )
            ],
            names=("connect per query", "pool", "pool again"),
            rounds=sizes.rounds,
            calls=sizes.calls,
            seed=seed,
            plan_cache_mode=arms.plan_cache_mode,
            step=step,
        )
    return pd.DataFrame([{"query": "primary-key lookup", **comparison_row(compare(samples))}])


@dataclass(frozen=True)
class Sharing:
    """Many callers on one pool."""

    callers: int
    calls: int
    failed: int
    most_backends: int
    """The most server processes seen at once for this pool."""
    stats: PoolStats
    seconds: float


def share_pool(arms: Arms, callers: int = CALLERS, calls: int = CALLS) -> Sharing:
    """``callers`` tasks, each with ``calls`` queries, share a pool of ten."""
    return in_own_loop(_share(arms.after, callers, calls))


async def _share(conninfo: str, callers: int, calls: int) -> Sharing:
    failed = 0
    backends: list[int] = []
    name = "perflab-sharing"

    async def lookup(conn: psycopg.AsyncConnection) -> None:
        await conn.execute("SELECT pg_sleep(0.001)")

    async def caller(pool: Pool) -> None:
        nonlocal failed
        for _ in range(calls):
            try:
                await pool.read(lookup)
            except (PerflabError, psycopg.Error):
                failed += 1

    async def watch() -> None:
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
            while True:
                found = await conn.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [name]
                )
                row = await found.fetchone()
                backends.append(row[0] if row else 0)
                await asyncio.sleep(_PAUSE_S)

    named = psycopg.conninfo.make_conninfo(conninfo, application_name=name)
    async with Pool(named, max_size=POOL_MAX) as pool:
        watcher = asyncio.create_task(watch())
        started = time.perf_counter()
        await asyncio.gather(*(caller(pool) for _ in range(callers)))
        seconds = time.perf_counter() - started
        watcher.cancel()
        return Sharing(
            callers=callers,
            calls=callers * calls,
            failed=failed,
            most_backends=max(backends, default=0),
            stats=pool.stats(),
            seconds=seconds,
        )


def judge_pool(claims: Claims, sharing: Sharing, origin: Origin) -> list[Result]:
    """The claim about the pool's size, counted on the server."""
    return judge_counts(claims, {"database.pool.max": exact(float(sharing.most_backends))}, origin)


@dataclass(frozen=True)
class Outage:
    """What readers and writers saw of an outage."""

    cause: str
    """``RESTARTED`` or ``CUT``."""
    calls: pd.DataFrame
    """One row a call: at_s, ms, kind."""
    outages: tuple[tuple[float, float], ...]
    failed_reads: int
    failed_writes: int
    acknowledged: int
    """Writes that the pool said were applied."""
    applied_once: int
    lost: int
    applied_twice: int
    stats: PoolStats


def survive_restart(arms: Arms, postgres: Postgres) -> Outage:
    """Readers and writers through a crash and restart of the server.

    Where the server is not the lab's, it stays up, and a proxy in front of it breaks every
    connection and refuses new ones for a while.
    """
    with psycopg.connect(arms.after, autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS outage_writes (id bigint NOT NULL)")
        conn.execute("TRUNCATE outage_writes")
    with _quiet("psycopg.pool", "stamina"):
        if postgres.owned:
            return in_own_loop(
                _survive(arms.after, RESTARTED, lambda: postgres.restart("immediate"))
            )
        with postgres_proxy(arms.after) as (proxy, conninfo):
            return in_own_loop(_survive(conninfo, CUT, lambda: _keep_away(proxy)))


def _keep_away(proxy: Proxy) -> None:
    proxy.refuse()
    proxy.cut()
    time.sleep(AWAY_S)
    proxy.resume()


@contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """No warnings of these loggers: the lost connections they speak of are what is shown."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


async def _survive(conninfo: str, cause: str, strike: Callable[[], None]) -> Outage:
    calls: list[tuple[float, float, str]] = []
    acknowledged: list[int] = []
    failed = {"read": 0, "write": 0}
    outage: list[tuple[float, float]] = []
    started = time.perf_counter()
    over = asyncio.Event()

    async def reader(pool: Pool, rng: np.random.Generator) -> None:
        async def lookup(conn: psycopg.AsyncConnection) -> None:
            await conn.execute(LOOKUP, {"id": int(rng.integers(1, 1000))})

        while not over.is_set():
            sent = time.perf_counter()
            try:
                await pool.read(lookup)
                calls.append((sent - started, 1000 * (time.perf_counter() - sent), "read"))
            except (PerflabError, psycopg.Error):
                failed["read"] += 1
            await asyncio.sleep(_PAUSE_S)

    async def writer(pool: Pool, number: int) -> None:
        while not over.is_set():
            sent = time.perf_counter()

            async def insert(conn: psycopg.AsyncConnection, number: int = number) -> int:
                await conn.execute("INSERT INTO outage_writes (id) VALUES (%s)", [number])
                return number

            try:
                await pool.write(f"outage-{number}", insert)
                acknowledged.append(number)
                calls.append((sent - started, 1000 * (time.perf_counter() - sent), "write"))
            except (PerflabError, psycopg.Error):
                failed["write"] += 1
            number += 10
            await asyncio.sleep(_PAUSE_S)

    async def crash() -> None:
        await asyncio.sleep(BEFORE_S)
        down = time.perf_counter() - started
        await asyncio.to_thread(strike)
        outage.append((down, time.perf_counter() - started))
        await asyncio.sleep(AFTER_S)
        over.set()

    async with Pool(conninfo, max_size=POOL_MAX) as pool:
        rngs = [np.random.default_rng([n]) for n in range(8)]
        await asyncio.gather(
            crash(),
            *(reader(pool, rng) for rng in rngs),
            *(writer(pool, number) for number in range(2)),
        )
        stats = pool.stats()
    applied = await _applied(conninfo)
    return Outage(
        cause=cause,
        calls=pd.DataFrame(calls, columns=["at_s", "ms", "kind"]),
        outages=tuple(outage),
        failed_reads=failed["read"],
        failed_writes=failed["write"],
        acknowledged=len(acknowledged),
        applied_once=sum(1 for count in applied.values() if count == 1),
        lost=sum(1 for number in acknowledged if number not in applied),
        applied_twice=sum(1 for count in applied.values() if count > 1),
        stats=stats,
    )


async def _applied(conninfo: str) -> dict[int, int]:
    async with await psycopg.AsyncConnection.connect(conninfo) as conn:
        found = await conn.execute("SELECT id, count(*) FROM outage_writes GROUP BY id")
        return {row[0]: row[1] for row in await found.fetchall()}
