"""The slow queries behind the cache: which ones they are, where values are found, and which."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import msgspec
import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from perflab.cache import Ledger, MemoryTier, TieredCache
from perflab.cache.ledger import Trail
from perflab.database.index_builder import BuildReport
from perflab.measure.experiment import Draw, Params
from perflab.measure.statistics import Interval
from perflab.services import Postgres, Redis
from perflab.studies.cache import latency
from perflab.studies.cache.driving import both_tiers
from perflab.studies.cache.latency import (
    DRAWS,
    STATES,
    Latencies,
    Mix,
    _Asker,
    _connect,
    measure_latency,
    mix_of,
    slowest_queries,
)
from perflab.studies.database.arms import Arms, Question

T = TypeVar("T")

NAME = "study_latency"
FEW = "SELECT * FROM task WHERE id <= %(n)s ORDER BY id"
MANY = "SELECT t.id, t.title FROM task t WHERE t.id <= 20 + %(n)s ORDER BY 1 DESC"


def number(rng: np.random.Generator) -> Draw:
    return Draw({"n": int(rng.integers(1, 30))})


QUESTIONS = (Question("few", "x", FEW, number), Question("many", "y", MANY, number))


@pytest.fixture(scope="module")
def tasks(postgres: Postgres) -> Iterator[str]:
    """A database with a small table."""
    with psycopg.connect(postgres.conninfo(), autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
    with psycopg.connect(postgres.conninfo(NAME)) as conn:
        conn.execute(
            "CREATE TABLE task AS SELECT id, 'task ' || id AS title, id * 0.5 AS effort,"
            " date '2025-01-01' + id AS due FROM generate_series(1, 60) AS id"
        )
    try:
        yield postgres.conninfo(NAME)
    finally:
        with psycopg.connect(postgres.conninfo(), autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(NAME)))


def measured(redis: Redis, conninfo: str, mix: Mix, **changes: Any) -> Latencies:
    sizes = {"rounds": 20, "calls": 6, "seed": 5} | changes
    return measure_latency(redis, conninfo, conninfo, QUESTIONS, mix, **sizes)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, within a limit that only a defect reaches."""
    return asyncio.run(asyncio.wait_for(work, 60))


def rows_of(conninfo: str, query: str, n: int) -> list[tuple[Any, ...]]:
    with psycopg.connect(conninfo) as conn:
        return conn.execute(query.encode(), {"n": n}).fetchall()


@pytest.fixture(scope="module")
def mixed(tasks: str, redis_server: Redis) -> Latencies:
    return measured(redis_server, tasks, Mix(0.5, 0.3))


# --- the experiment --------------------------------------------------------------------------


def test_requests_are_spread_over_the_tiers_as_the_mix_says(mixed: Latencies) -> None:
    samples = mixed.samples
    n = 20 * 6 * 2
    for arm in range(3):
        of_arm = samples.selectivity[samples.arm == arm]
        assert len(of_arm) == n
        for state, share in zip(STATES, (0.5, 0.3, 0.2), strict=True):
            found = np.mean(of_arm == samples.selectivities.index(state))
            assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / n), state


def test_all_arms_get_the_same_requests_and_answer_with_the_same_rows(mixed: Latencies) -> None:
    assert mixed.samples.unequal_operations() == ()
    assert mixed.samples.rows.min() >= 1
    assert len(np.unique(mixed.samples.rows)) > 10
    assert mixed.samples.arms == ("no cache", "cache", "cache again")
    assert mixed.queries == ("few", "many")


def test_each_place_has_its_comparison_and_together_they_are_all_calls(mixed: Latencies) -> None:
    assert list(mixed.by_state) == list(STATES)
    assert sum(c.n for c in mixed.by_state.values()) == mixed.overall.n == 240
    assert mixed.cached is not None
    assert mixed.cached.n == mixed.by_state["memory"].n + mixed.by_state["Redis"].n
    for comparison in (mixed.overall, *mixed.by_state.values()):
        assert isinstance(comparison.ratio.median, Interval)
        assert isinstance(comparison.aa.median, Interval)


def test_the_frame_has_a_row_for_each_place(mixed: Latencies) -> None:
    frame = mixed.frame().set_index("where")
    assert list(frame.index) == ["no cache", *STATES, "all tiers"]
    assert list(frame["n"]) == [240, *(c.n for c in mixed.by_state.values()), 240]
    assert frame.loc["all tiers", "median"] == mixed.overall.after.median_ms.estimate  # type: ignore[union-attr]
    assert frame.loc["no cache", "mean"] == mixed.overall.before.mean_ms.estimate  # type: ignore[union-attr]
    assert (frame["median_lo"] <= frame["median"]).all()
    assert frame["p99"].isna().all(), "too few calls for that"


@pytest.mark.parametrize(
    ("mix", "states"),
    [
        (Mix(1.0, 0.0), ["memory"]),
        (Mix(0.9, 0.1), ["memory", "Redis"]),
        (Mix(0.0, 0.0), ["loaded"]),
    ],
)
def test_a_place_where_no_request_finds_its_value_has_no_comparison(
    tasks: str, redis_server: Redis, mix: Mix, states: list[str]
) -> None:
    found = measured(redis_server, tasks, mix, calls=3)
    assert list(found.by_state) == states
    assert (found.cached is None) == (states == ["loaded"])
    assert list(found.frame()["where"]) == ["no cache", *states, "all tiers"]


def test_a_seed_gives_the_same_requests_again(tasks: str, redis_server: Redis) -> None:
    one, again, other = (
        measured(redis_server, tasks, Mix(0.5, 0.3), rounds=4, calls=3, seed=seed).samples
        for seed in (5, 5, 6)
    )
    assert (one.rows == again.rows).all()
    assert (one.selectivity == again.selectivity).all()
    assert (one.rows != other.rows).any()


def test_the_mix_is_who_answered_when_warm_and_memory_has_its_unscaled_part() -> None:
    windows = []
    for outcomes in (["memory"] * 3 + ["redis"] * 2, ["redis"] * 2 + ["stale"] + ["load"] * 2):
        ledger = Ledger()
        for outcome in outcomes:
            trail = Trail("hit" if outcome == "memory" else "miss")
            trail.redis = {"memory": None, "redis": "hit", "stale": "stale"}.get(outcome, "miss")
            trail.loader = "hit" if outcome == "load" else None
            ledger.books["p"].enter(trail)
        windows.append(ledger.stats().total)
    for in_virtual_time, shares in ((0.35, (0.35, 0.45, 0.2)), (0.9, (0.8, 0.0, 0.2))):
        virtual = type("Answers", (), {"memory_ratio": in_virtual_time})
        run = type("Run", (), {"warm": windows, "virtual": virtual})
        assert mix_of(run).shares == pytest.approx(shares)  # type: ignore[arg-type]


def test_the_shares_of_a_mix_are_chances_whatever_their_rounding() -> None:
    for percent in range(101):
        shares = Mix(percent / 100, (100 - percent) / 100).shares
        assert min(shares) >= 0
        assert sum(shares) == pytest.approx(1)


# --- where a value is found ------------------------------------------------------------------


def test_a_request_finds_its_value_where_it_was_prepared(tasks: str, redis_server: Redis) -> None:
    drawn: dict[str, list[Params]] = {"few": [{"n": n} for n in range(3, 3 + DRAWS)]}

    async def scenario() -> None:
        async with (
            await _connect(tasks) as conn,
            both_tiers(redis_server, "test", MemoryTier()) as (cache, _),
        ):
            asker = _Asker(conn, cache)
            await asker.prepare({"few": FEW}, drawn)
            for state, answers in (
                ("memory", {"memory": 1, "redis": 0, "loader": 0}),
                ("Redis", {"memory": 0, "redis": 1, "loader": 0}),
                ("loaded", {"memory": 0, "redis": 0, "loader": 1}),
            ):
                for _ in range(2):  # and again
                    for number in (0, DRAWS - 1):
                        before = cache.ledger.stats().total
                        params = drawn["few"][number]
                        asked = {"params": params, "number": number, "state": state}
                        assert await asker.ask("few", FEW, asked) == params["n"]
                        after = cache.ledger.stats().total
                        for tier, hits in answers.items():
                            part = after.tier(tier).hits - before.tier(tier).hits  # type: ignore[arg-type]
                            assert part == hits, (state, tier)
            assert cache.ledger.stats().total.background.refreshes == 0

    run(scenario())


@pytest.mark.parametrize("state", STATES)
def test_a_value_is_the_databases_rows_wherever_it_is_found(
    tasks: str, redis_server: Redis, state: str
) -> None:
    """Redis keeps them as MessagePack has them: the types of JSON, and lists for tuples."""
    rows = rows_of(tasks, FEW, 7)
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(rows))
    got: list[Any] = []

    class Watched(TieredCache):
        async def get_or_load(self, *args: Any, **names: Any) -> Any:
            got.append(await super().get_or_load(*args, **names))
            return got[-1]

    async def scenario() -> None:
        async with (
            await _connect(tasks) as conn,
            both_tiers(redis_server, "x", None) as (_, shared),
            Watched(MemoryTier(), shared) as cache,
        ):
            asker = _Asker(conn, cache)
            await asker.prepare({"few": FEW}, {"few": [{"n": 7}]})
            await asker.ask("few", FEW, {"params": {"n": 7}, "number": 0, "state": state})

    run(scenario())
    assert len(rows) == 7
    assert got[-1] == (stored if state == "Redis" else rows)


def test_what_was_prepared_is_still_there_after_hours_and_many_loads(tasks: str) -> None:
    """An experiment on slow queries lasts longer than the five minutes of the policy."""
    now = 1_000.0

    def clock() -> float:
        return now

    async def scenario() -> None:
        nonlocal now
        memory = MemoryTier(latency._ENTRIES, clock=clock, wall=clock)
        async with await _connect(tasks) as conn, TieredCache(memory, clock=clock) as cache:
            asker = _Asker(conn, cache)
            await asker.prepare({"few": FEW}, {"few": [{"n": 2}]})
            for _ in range(1_200):
                await asker.ask("few", FEW, {"params": {"n": 1}, "number": 0, "state": "loaded"})
            now += 4 * 3_600
            hits = cache.ledger.stats().total.memory.hits
            asked = {"params": {"n": 2}, "number": 0, "state": "memory"}
            assert await asker.ask("few", FEW, asked) == 2
            assert cache.ledger.stats().total.memory.hits == hits + 1

    run(scenario())


def test_a_connections_own_options_are_kept_and_plans_are_pinned(tasks: str) -> None:
    async def scenario() -> list[Any]:
        conninfo = make_conninfo(tasks, options="-c work_mem=9MB")
        async with await _connect(conninfo) as conn:
            found = []
            for name in ("work_mem", "plan_cache_mode", "jit"):
                row = await (await conn.execute(f"SHOW {name}".encode())).fetchone()
                found.append(None if row is None else row[0])
            return found

    assert run(scenario()) == ["9MB", "force_custom_plan", "off"]


# --- the slowest queries ---------------------------------------------------------------------


def sleeping(name: str, seconds: float, **more: Any) -> Question:
    return Question(name, "x", f"SELECT pg_sleep({seconds}), %(n)s::bigint", number, **more)


@pytest.fixture
def arms(tasks: str) -> Callable[..., Arms]:
    def make(*questions: Question) -> Arms:
        return Arms(
            before=tasks,
            after="",
            questions=questions,
            rows=0,
            built=BuildReport(),
            serves={},
            before_bytes=0,
            after_bytes=0,
            plan_cache_mode="force_custom_plan",
        )

    return make


def test_the_slowest_queries_come_first_and_only_timed_ones(arms: Callable[..., Arms]) -> None:
    given = arms(
        sleeping("fast", 0.0),
        sleeping("slowest", 0.08),
        sleeping("never timed", 0.1, timed=False),
        sleeping("slow", 0.04),
    )
    assert [q.name for q in slowest_queries(given, 2, seed=1)] == ["slowest", "slow"]
    assert [q.name for q in slowest_queries(given, 9, seed=1)] == ["slowest", "slow", "fast"]


def test_a_first_call_that_is_slow_does_not_make_a_query_slow(arms: Callable[..., Arms]) -> None:
    """Its parameters, or a cold buffer: the faster of two calls counts."""
    calls = iter(range(99))

    def first_is_slow(_rng: np.random.Generator) -> Draw:
        return Draw({"s": 0.1 if next(calls) == 0 else 0.0})

    once = Question("slow once", "x", "SELECT pg_sleep(%(s)s::float8)", first_is_slow)
    found = slowest_queries(arms(once, sleeping("slow", 0.04)), 1, seed=1)
    assert [q.name for q in found] == ["slow"]
