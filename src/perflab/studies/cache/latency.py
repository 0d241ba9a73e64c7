"""What a cache takes off the database's slow queries: no cache, each tier, all tiers."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
import psycopg
from psycopg.types.numeric import Int8Dumper

from perflab.cache import CachePolicy, MemoryTier, TieredCache
from perflab.database.session import Session
from perflab.measure.comparison import Comparison, Statistic, compare
from perflab.measure.experiment import Arm, Draw, Experiment, Operation, Params
from perflab.measure.samples import Samples
from perflab.progress import Step
from perflab.services import Redis
from perflab.studies.cache.driving import both_tiers
from perflab.studies.cache.tiers import POLICY, TierRun
from perflab.studies.database.arms import Arms, Question
from perflab.studies.frames import triple

STATES: Final = ("memory", "Redis", "loaded")
"""Where a request finds its value."""
DRAWS: Final = 16
"""Parameters a query, drawn as requests would come; each is asked for again and again."""

_PROBES: Final = 2
_STAYS_S: Final = 86_400.0
"""What is prepared is there for the whole experiment, which can take hours."""
_GONE_S: Final = 1e-9
_POLICIES: Final[Mapping[str, CachePolicy]] = {
    state: msgspec.structs.replace(
        POLICY, ttl_s=_STAYS_S, memory_ttl_s=memory_ttl_s, early_refresh=False
    )
    for state, memory_ttl_s in (("memory", _STAYS_S), ("Redis", _GONE_S), ("loaded", _GONE_S))
}
_ENTRIES: Final = 1_000_000
"""In memory: what is loaded pushes nothing out."""


@dataclass(frozen=True)
class Mix:
    """How requests were spread over the tiers."""

    memory: float
    redis: float

    @property
    def shares(self) -> tuple[float, float, float]:
        """By STATES; they sum to 1."""
        return self.memory, self.redis, max(0.0, 1 - self.memory - self.redis)


@dataclass(frozen=True)
class Latencies:
    """The slow queries without a cache and with one, and what each tier has to do with it."""

    samples: Samples
    mix: Mix
    queries: tuple[str, ...]
    overall: Comparison
    """All tiers, requests spread over them as measured."""
    by_state: Mapping[str, Comparison]
    """Only the requests that found their value in one place."""
    cached: Comparison | None
    """Only the requests that some tier answered; None if there was none."""

    def frame(self) -> pd.DataFrame:
        """One row a place: the mean, median, p95 and p99 in ms."""
        rows = [
            ("no cache", self.overall.before),
            *((s, c.after) for s, c in self.by_state.items()),
        ]
        rows.append(("all tiers", self.overall.after))
        return pd.DataFrame(
            [
                {
                    "where": where,
                    "n": figures.n,
                    **{
                        column: value
                        for name in _STATISTICS
                        for column, value in triple(name, figures.of(name)).items()
                    },
                }
                for where, figures in rows
            ]
        )


_STATISTICS: tuple[Statistic, ...] = ("mean", "median", "p95", "p99")


def mix_of(run: TierRun) -> Mix:
    """Who answered the requests of a run once it was warm: all tiers as measured.

    Memory's part of that is the one in virtual time: its lifetime of milliseconds, scaled, is
    shorter than what an answer of Redis takes, so that the scaled run shows too little of it.
    """
    requests = sum(window.requests for window in run.warm)
    answered = sum(
        tier.hits + tier.stale_hits for window in run.warm for tier in (window.memory, window.redis)
    )
    memory = min(run.virtual.memory_ratio, answered / requests)
    return Mix(memory, answered / requests - memory)


def slowest_queries(arms: Arms, count: int, seed: int) -> tuple[Question, ...]:
    """The ``count`` questions that take longest without indexes, the slowest first."""
    rng = np.random.default_rng([seed, 11])
    took_s: dict[str, float] = {}
    with Session(arms.before) as session:
        for question in arms.timed:
            probes = []
            for _ in range(_PROBES):
                params = question.draw(rng).params
                started = time.perf_counter()
                session.run(question.sql, params)
                probes.append(time.perf_counter() - started)
            took_s[question.name] = min(probes)
    return tuple(sorted(arms.timed, key=lambda q: -took_s[q.name])[:count])


def measure_latency(
    redis: Redis,
    uncached: str,
    indexed: str,
    questions: Sequence[Question],
    mix: Mix,
    *,
    rounds: int,
    calls: int,
    seed: int,
    step: Step | None = None,
) -> Latencies:
    """*Before* asks the database of ``uncached``; *after* asks the cache, which loads from
    ``indexed``.

    A request finds its value in memory, in Redis or nowhere, by chance and as often as ``mix``
    says; all arms of a round get the same. Both tiers are real; what is where is prepared: a
    value for Redis has no local copy, one to be loaded has a key that nobody asked for before.
    """
    rng = np.random.default_rng([seed, 12])
    drawn = {q.name: [q.draw(rng).params for _ in range(DRAWS)] for q in questions}
    with ThreadPoolExecutor(1) as thread:  # a notebook's own thread has a running event loop
        samples = thread.submit(
            _run, redis, uncached, indexed, questions, drawn, mix, rounds, calls, seed, step
        ).result()
    by_state: dict[str, Comparison] = {
        state: compare(samples, selectivities=[state])
        for state in STATES
        if state in samples.selectivities
    }
    cached = [state for state in ("memory", "Redis") if state in by_state]
    return Latencies(
        samples=samples,
        mix=mix,
        queries=tuple(q.name for q in questions),
        overall=compare(samples),
        by_state=by_state,
        cached=compare(samples, selectivities=cached) if cached else None,
    )


def _run(
    redis: Redis,
    uncached: str,
    indexed: str,
    questions: Sequence[Question],
    drawn: Mapping[str, list[Params]],
    mix: Mix,
    rounds: int,
    calls: int,
    seed: int,
    step: Step | None,
) -> Samples:
    statements = {q.name: q.sql for q in questions}
    with asyncio.Runner() as runner, ExitStack() as stack:
        loop = runner.get_loop()

        def enter(context: AbstractAsyncContextManager[_Asker]) -> _Asker:
            entered = loop.run_until_complete(context.__aenter__())
            stack.callback(lambda: loop.run_until_complete(context.__aexit__(None, None, None)))
            return entered

        def arm(name: str, asker: _Asker) -> Arm:
            def call(operation: Operation, params: Params) -> int:
                asked = asker.ask(operation.name, statements[operation.name], params)
                return loop.run_until_complete(asked)

            return Arm(name, call)

        direct = enter(_direct(uncached))
        cached = enter(_cached(redis, indexed))
        again = enter(_cached(redis, indexed))
        for one in (cached, again):
            loop.run_until_complete(one.prepare(statements, drawn))
        return Experiment(
            before=arm("no cache", direct),
            after=arm("cache", cached),
            control=arm("cache again", again),
            operations=[
                Operation(q.name, q.category, _drawer(drawn[q.name], mix)) for q in questions
            ],
            rounds=rounds,
            calls=calls,
            warmup=0,  # every arm is prepared, and a first call would be another parameter's
            seed=seed,
        ).run(step)


def _drawer(params: Sequence[Params], mix: Mix) -> Callable[[np.random.Generator], Draw]:
    def draw(rng: np.random.Generator) -> Draw:
        state = STATES[int(rng.choice(len(STATES), p=mix.shares))]
        number = int(rng.integers(len(params)))
        return Draw({"params": params[number], "number": number, "state": state}, state)

    return draw


class _Asker:
    """Asks the database, through a cache where there is one."""

    def __init__(self, conn: psycopg.AsyncConnection, cache: TieredCache | None = None) -> None:
        self._conn = conn
        self._cache = cache
        self._fresh = itertools.count()

    async def prepare(
        self, statements: Mapping[str, str], drawn: Mapping[str, list[Params]]
    ) -> None:
        """Put every value into the tiers where it is to be found."""
        for name, params in drawn.items():
            for number, one in enumerate(params):
                for state in ("memory", "Redis"):
                    asked = {"params": one, "number": number, "state": state}
                    await self.ask(name, statements[name], asked)

    async def ask(self, name: str, sql: str, asked: Params) -> int:
        """The number of rows of an answer."""
        params: Any = asked["params"]
        if self._cache is None:
            return len(await self._fetch(sql, params))

        async def load() -> list[tuple[Any, ...]]:
            return await self._fetch(sql, params)

        state = str(asked["state"])
        fresh = f":{next(self._fresh)}" if state == "loaded" else ""
        key = f"{name}:{asked['number']}:{state}{fresh}"
        return len(await self._cache.get_or_load(key, load, _POLICIES[state], (name,)))

    async def _fetch(self, sql: str, params: Any) -> list[tuple[Any, ...]]:
        cursor = await self._conn.execute(sql.encode(), params, prepare=True)
        return await cursor.fetchall()


@asynccontextmanager
async def _direct(conninfo: str) -> AsyncIterator[_Asker]:
    async with await _connect(conninfo) as conn:
        yield _Asker(conn)


@asynccontextmanager
async def _cached(redis: Redis, conninfo: str) -> AsyncIterator[_Asker]:
    async with (
        await _connect(conninfo) as conn,
        both_tiers(redis, "latency", MemoryTier(_ENTRIES)) as (cache, _shared),
    ):
        yield _Asker(conn, cache)


async def _connect(conninfo: str) -> psycopg.AsyncConnection:
    conn = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    for name, value in (("plan_cache_mode", "force_custom_plan"), ("jit", "off")):
        await conn.execute("SELECT set_config(%s, %s, false)", (name, value))
    conn.prepare_threshold = 0
    conn.adapters.register_dumper(int, Int8Dumper)  # one plan a statement, as in a Session
    return conn
