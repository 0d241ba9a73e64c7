"""The pool: bounded, patient, and exactly-once for writes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from commit_replies import losing_commit_replies
from perflab.database.pool import Connection, DatabaseUnavailable, Pool, PoolTimeout
from perflab.schema.seed import create_schema

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 60))


@pytest.fixture
def app(database: str) -> str:
    """A database with the schema and a table to count writes in."""
    with psycopg.connect(database) as conn:
        create_schema(conn)
        conn.execute("CREATE TABLE written (id int)")
        conn.execute("CREATE TABLE pair AS SELECT g AS id, 0 AS n FROM generate_series(1, 2) g")
    return database


def written(app: str) -> list[int]:
    with psycopg.connect(app) as conn:
        return [row[0] for row in conn.execute("SELECT id FROM written ORDER BY id").fetchall()]


async def one(conn: Connection) -> int:
    row = await (await conn.execute("SELECT 1")).fetchone()
    assert row is not None
    return int(row[0])


async def insert(conn: Connection) -> dict[str, int]:
    await conn.execute("INSERT INTO written VALUES (1)")
    return {"id": 1}


def test_fifty_callers_share_ten_connections(app: str) -> None:
    backends = 0

    async def look(conn: Connection) -> None:
        nonlocal backends
        row = await (
            await conn.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'p'")
        ).fetchone()
        assert row is not None
        backends = max(backends, int(row[0]))

    async def scenario() -> None:
        async with Pool(make_conninfo(app, application_name="p")) as pool:
            await asyncio.gather(*(pool.read(look) for _ in range(500)))
            stats = pool.stats()
            assert stats.requests == 500
            assert stats.queued > 0
            assert (stats.errors, stats.retries, stats.waiting) == (0, 0, 0)
            assert stats.size <= 10

    run(scenario())
    assert 2 <= backends <= 10


def test_a_caller_who_waits_too_long_is_told_what_to_do(app: str) -> None:
    async def scenario() -> None:
        async with Pool(app, max_size=1, wait_timeout_s=0.1) as pool:
            held, release = asyncio.Event(), asyncio.Event()

            async def hold(conn: Connection) -> None:
                held.set()
                await release.wait()

            holder = asyncio.create_task(pool.read(hold))
            await held.wait()
            with pytest.raises(PoolTimeout, match=r"all 1 connections are in use.*raise max_size"):
                await pool.read(one)
            release.set()
            await holder
            assert pool.stats().errors == 1
            assert await pool.read(one) == 1

    run(scenario())


def test_a_connection_on_its_way_back_is_no_sign_of_an_outage(
    app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller who gives up at that moment is told that the pool is busy, and does not retry."""

    async def scenario() -> None:
        async with Pool(app, max_size=1, wait_timeout_s=0.1) as pool:
            returning, release = asyncio.Event(), asyncio.Event()
            give_back = pool._pool.putconn

            async def slowly(conn: Connection) -> None:
                returning.set()
                await release.wait()
                await give_back(conn)

            monkeypatch.setattr(pool._pool, "putconn", slowly)
            first = asyncio.create_task(pool.read(one))
            await returning.wait()
            with pytest.raises(PoolTimeout, match="all 1 connections are in use"):
                await pool.read(one)
            assert pool.stats().retries == 0
            release.set()
            assert await first == 1

    run(scenario())


def test_no_more_callers_than_allowed_may_wait(app: str) -> None:
    async def scenario() -> None:
        async with Pool(app, max_size=1, max_waiting=1) as pool:
            held, release = asyncio.Event(), asyncio.Event()

            async def hold(conn: Connection) -> None:
                held.set()
                await release.wait()

            holder = asyncio.create_task(pool.read(hold))
            await held.wait()
            waiter = asyncio.create_task(pool.read(one))
            while pool.stats().waiting == 0:
                await asyncio.sleep(0)
            with pytest.raises(PoolTimeout, match="no more callers may wait"):
                await pool.read(one)
            release.set()
            await asyncio.gather(holder, waiter)

    run(scenario())


def test_a_server_that_is_not_there_is_reported_without_the_password(app: str) -> None:
    nowhere = make_conninfo(app, port=1, password="s3cret-word")

    async def scenario() -> None:
        with pytest.raises(DatabaseUnavailable, match="check that the server runs") as caught:
            await Pool(nowhere, deadline_s=0.3).open()
        assert "\n" not in str(caught.value)
        assert "s3cret-word" not in str(caught.value)

    run(scenario())


def test_a_rolled_back_read_is_run_again_from_its_beginning(app: str) -> None:
    runs = 0

    async def unlucky_twice(conn: Connection) -> int:
        nonlocal runs
        runs += 1
        if runs < 3:
            await conn.execute("DO $$ BEGIN RAISE 'again' USING ERRCODE = '40001'; END $$")
        return await one(conn)

    async def scenario() -> None:
        async with Pool(app) as pool:
            assert await pool.read(unlucky_twice) == 1
            assert pool.stats().retries == 2

    run(scenario())


def test_an_error_that_would_come_again_is_raised_as_it_is_after_one_run(app: str) -> None:
    runs = 0

    async def wrong(conn: Connection) -> None:
        nonlocal runs
        runs += 1
        await conn.execute("SELECT * FROM nowhere")

    async def scenario() -> None:
        async with Pool(app) as pool:
            with pytest.raises(psycopg.errors.UndefinedTable):
                await pool.read(wrong)
            assert await pool.read(one) == 1

    run(scenario())
    assert runs == 1


def test_a_killed_connection_is_replaced_and_its_read_run_again(app: str) -> None:
    killed = False

    async def die_once(conn: Connection) -> int:
        nonlocal killed
        if not killed:
            killed = True
            await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return await one(conn)

    async def scenario() -> None:
        async with Pool(app) as pool:
            assert await pool.read(die_once) == 1
            assert pool.stats().retries == 1

    run(scenario())


def test_an_outage_longer_than_the_deadline_ends_in_database_unavailable(app: str) -> None:
    async def die(conn: Connection) -> None:
        await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async def scenario() -> None:
        async with Pool(app, deadline_s=0.5) as pool:
            with pytest.raises(DatabaseUnavailable, match=r"a read failed for 0\.5 s"):
                await pool.read(die)
            assert pool.stats().errors == 1

    run(scenario())


def test_a_write_repeated_under_its_key_is_applied_once_and_gives_the_same_outcome(
    app: str,
) -> None:
    async def scenario() -> None:
        async with Pool(app) as pool:
            outcomes = [await pool.write("order-1", insert) for _ in range(3)]
            assert outcomes == [{"id": 1}] * 3
            assert pool.stats().replays == 2
            await pool.write("order-2", insert)

    run(scenario())
    assert written(app) == [1, 1]


def test_callers_with_the_same_key_at_once_apply_it_once(app: str) -> None:
    async def scenario() -> None:
        async with Pool(app) as pool:
            outcomes = await asyncio.gather(*(pool.write("same", insert) for _ in range(30)))
            assert outcomes == [{"id": 1}] * 30

    run(scenario())
    assert written(app) == [1]


def test_a_failed_write_leaves_neither_rows_nor_its_key(app: str) -> None:
    async def fail(conn: Connection) -> None:
        await insert(conn)
        raise ValueError("changed my mind")

    async def scenario() -> None:
        async with Pool(app) as pool:
            with pytest.raises(ValueError, match="changed my mind"):
                await pool.write("k", fail)
            assert written(app) == []
            assert await pool.write("k", insert) == {"id": 1}

    run(scenario())
    assert written(app) == [1]


def test_two_writes_that_deadlock_both_end_up_applied_once(app: str) -> None:
    async def scenario() -> None:
        async with Pool(app) as pool:
            met = asyncio.Barrier(2)

            async def write(key: str, first: int, second: int) -> None:
                runs = 0

                async def both(conn: Connection) -> None:
                    nonlocal runs
                    runs += 1
                    await conn.execute("UPDATE pair SET n = n + 1 WHERE id = %s", [first])
                    if runs == 1:
                        await met.wait()
                    await conn.execute("UPDATE pair SET n = n + 1 WHERE id = %s", [second])

                await pool.write(key, both)

            await asyncio.gather(write("a", 1, 2), write("b", 2, 1))
            assert pool.stats().retries >= 1

    run(scenario())
    with psycopg.connect(app) as conn:
        assert conn.execute("SELECT n FROM pair ORDER BY id").fetchall() == [(2,), (2,)]


def test_a_write_whose_commit_was_applied_unseen_is_not_applied_again(app: str) -> None:
    runs = 0

    async def insert_counted(conn: Connection) -> dict[str, int]:
        nonlocal runs
        runs += 1
        return await insert(conn)

    async def scenario() -> None:
        async with losing_commit_replies(app) as (_, through), Pool(through) as pool:
            assert await pool.write("order-9", insert_counted) == {"id": 1}
            stats = pool.stats()
            assert (stats.retries, stats.replays) == (1, 1)

    run(scenario())
    assert runs == 1
    assert written(app) == [1]


def test_keys_are_forgotten_by_age(app: str) -> None:
    async def scenario() -> None:
        async with Pool(app) as pool:
            await pool.write("k", insert)
            assert await pool.forget_keys(older_than_s=3600) == 0
            assert await pool.forget_keys(older_than_s=0) == 1

    run(scenario())


def test_settings_reach_every_connection(app: str) -> None:
    async def mode(conn: Connection) -> Any:
        await asyncio.sleep(0)
        return await (await conn.execute("SHOW plan_cache_mode")).fetchone()

    async def scenario() -> None:
        async with Pool(app, settings={"plan_cache_mode": "force_generic_plan"}) as pool:
            shown = await asyncio.gather(*(pool.read(mode) for _ in range(20)))
            assert set(shown) == {("force_generic_plan",)}

    run(scenario())


def test_without_keeping_connections_each_use_connects_anew(app: str) -> None:
    async def backend(conn: Connection) -> int:
        return conn.info.backend_pid

    async def scenario(*, kept: bool) -> tuple[int, int]:
        async with Pool(app, kept=kept, max_size=3) as pool:
            alone = [await pool.read(backend) for _ in range(4)]
            await asyncio.gather(*(pool.read(one) for _ in range(20)))
            await pool.write("once", insert)
            return len(set(alone)), pool.stats().size

    assert run(scenario(kept=False)) == (4, 0)
    assert written(app) == [1], "writes are applied once all the same"
    used, size = run(scenario(kept=True))
    assert used <= 2
    assert size > 0
