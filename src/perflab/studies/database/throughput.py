"""Throughput and tail latency at several numbers of concurrent clients, before and after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import psycopg
from psycopg.types.numeric import Int8Dumper

from perflab.measure.statistics import mean_of_repetitions
from perflab.profiles import DatabaseSizes
from perflab.progress import Step
from perflab.studies.database.arms import Arms
from perflab.studies.frames import triple
from perflab.studies.loops import in_own_loop

SATURATED = 0.9
"""Above this share of a core the client is the bottleneck and a throughput a lower bound."""
_DRAWN = 400
"""Calls prepared for a cell; clients take them in turn and start over at the end."""


@dataclass(frozen=True)
class Cell:
    """One repetition of one arm at one number of clients."""

    per_s: float
    p95_ms: float
    calls: int
    client_share: float
    """CPU seconds of this process per second: the load generator's own share of a core."""


def measure_throughput(
    arms: Arms, sizes: DatabaseSizes, seed: int, step: Step | None = None
) -> pd.DataFrame:
    """Closed loops over the claimed categories' mix; one row an arm and number of clients.

    The arms alternate within each repetition. Throughput and p95 are means over independent
    repetitions with Student's interval; ``saturated`` marks a client that was itself the limit.
    """
    cells = in_own_loop(_measure(arms, sizes, seed, step))
    rows = []
    for (clients, arm), repetitions in cells.items():
        share = float(np.mean([c.client_share for c in repetitions]))
        rows.append(
            {
                "clients": clients,
                "arm": arm,
                **triple("per_s", mean_of_repetitions([c.per_s for c in repetitions])),
                **triple("p95_ms", mean_of_repetitions([c.p95_ms for c in repetitions])),
                "calls": sum(c.calls for c in repetitions),
                "client_share": share,
                "saturated": share > SATURATED,
            }
        )
    return pd.DataFrame(rows)


async def _measure(
    arms: Arms, sizes: DatabaseSizes, seed: int, step: Step | None
) -> dict[tuple[int, str], list[Cell]]:
    rng = np.random.default_rng(seed)
    most = max(sizes.clients)
    connected = {
        "before": await _connect(arms.before, most, arms.plan_cache_mode),
        "after": await _connect(arms.after, most, arms.plan_cache_mode),
    }
    cells: dict[tuple[int, str], list[Cell]] = {
        (clients, arm): [] for clients in sizes.clients for arm in connected
    }
    total = sizes.clients_rounds * len(cells)
    done = 0
    try:
        for _ in range(sizes.clients_rounds):
            for clients in sizes.clients:
                calls = _draw(arms, rng)
                for arm in rng.permutation(list(connected)):
                    if step:
                        step(f"{clients} clients, {arm}", done, total)
                    cell = await _cell(connected[arm][:clients], calls, sizes.clients_s)
                    cells[clients, str(arm)].append(cell)
                    done += 1
    finally:
        for connections in connected.values():
            await asyncio.gather(*(c.close() for c in connections))
    return cells


def _draw(arms: Arms, rng: np.random.Generator) -> list[tuple[str, dict[str, object]]]:
    picked = rng.integers(len(arms.claimed), size=_DRAWN)
    return [(arms.claimed[n].sql, dict(arms.claimed[n].draw(rng).params)) for n in picked]


async def _connect(
    conninfo: str, count: int, plan_cache_mode: str
) -> list[psycopg.AsyncConnection]:
    connections = []
    for _ in range(count):
        conn = await psycopg.AsyncConnection.connect(
            conninfo, autocommit=True, options=f"-c plan_cache_mode={plan_cache_mode}"
        )
        conn.adapters.register_dumper(int, Int8Dumper)  # as in a Session: one plan a statement
        connections.append(conn)
    return connections


async def _cell(
    connections: Sequence[psycopg.AsyncConnection],
    calls: Sequence[tuple[str, dict[str, object]]],
    seconds: float,
) -> Cell:
    latencies: list[float] = []
    next_call = iter(range(10**9))
    started, cpu = time.perf_counter(), time.process_time()
    end = started + seconds

    async def client(conn: psycopg.AsyncConnection) -> None:
        while (sent := time.perf_counter()) < end:
            query, params = calls[next(next_call) % len(calls)]
            cursor = await conn.execute(query.encode(), params, prepare=True)
            await cursor.fetchall()
            latencies.append(time.perf_counter() - sent)

    await asyncio.gather(*(client(conn) for conn in connections))
    took = time.perf_counter() - started
    return Cell(
        per_s=len(latencies) / took,
        p95_ms=1_000 * float(np.quantile(latencies, 0.95)),
        calls=len(latencies),
        client_share=(time.process_time() - cpu) / took,
    )
