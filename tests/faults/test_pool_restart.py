"""Readers and writers of a pool through a crash: nothing failed, lost or doubled."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from perflab.database.pool import Connection, Pool
from perflab.schema.seed import create_schema
from perflab.services import Services

READERS = 20
WRITERS = 10
WRITES = 40
"""Of each writer."""


@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_a_restart_fails_no_read_and_applies_every_write_once(
    own_services: Services, mode: str
) -> None:
    postgres = own_services.postgres
    with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS test_restart WITH (FORCE)")
        admin.execute("CREATE DATABASE test_restart")
    conninfo = postgres.conninfo("test_restart")
    with psycopg.connect(conninfo) as conn:
        create_schema(conn)
        conn.execute("CREATE TABLE written (id text)")

    reads = 0
    stop = asyncio.Event()

    async def read_until_stopped(pool: Pool) -> None:
        nonlocal reads

        async def count(conn: Connection) -> None:
            await conn.execute("SELECT count(*) FROM written")

        while not stop.is_set():
            await pool.read(count)
            reads += 1

    async def write_all(pool: Pool, writer: int, half: asyncio.Event) -> None:
        for number in range(WRITES):
            if number == WRITES // 2:
                half.set()
            key = f"{writer}-{number}"

            async def insert(conn: Connection, key: str = key) -> str:
                await conn.execute("INSERT INTO written VALUES (%s)", [key])
                return key

            assert await pool.write(key, insert) == key

    async def scenario() -> None:
        half = asyncio.Event()
        async with Pool(conninfo) as pool:
            readers = [asyncio.create_task(read_until_stopped(pool)) for _ in range(READERS)]
            writers = [asyncio.create_task(write_all(pool, n, half)) for n in range(WRITERS)]
            await half.wait()
            if mode == "immediate":
                await asyncio.to_thread(postgres.restart, "immediate")
            else:
                await asyncio.to_thread(postgres.restart)
            await asyncio.gather(*writers)
            stop.set()
            await asyncio.gather(*readers)
            stats = pool.stats()
        assert stats.retries > 0
        assert stats.errors == 0

    asyncio.run(asyncio.wait_for(scenario(), 120))
    assert reads > 0
    with psycopg.connect(conninfo) as conn:
        counts: dict[str, int] = dict(
            conn.execute("SELECT id, count(*) FROM written GROUP BY id").fetchall()
        )
    expected = {f"{writer}-{number}" for writer in range(WRITERS) for number in range(WRITES)}
    assert set(counts) == expected, "a write was lost or made up"
    assert set(counts.values()) == {1}, "a write was applied twice"
