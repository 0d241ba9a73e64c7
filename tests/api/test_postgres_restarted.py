"""PostgreSQL restarts under load: nothing is written twice, and errors end with the outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from perflab.api.credentials import set_password
from perflab.schema.seed import create_schema
from perflab.services import Postgres, PostgresSettings, Redis, open_services
from perflab.services.proxy import Proxy, postgres_proxy
from perflab.services.servers import RestartMode

from .support import PASSWORD, create_database, execute, run, running, settings_for, signed_in

ADA = "ada@example.com"
WAIT_S = 1.0
READERS = 12
WRITERS = 8
WRITES = 12
"""Of each writer."""
LONGER_S = 1.2
"""The restart of an empty database is over too soon for some to be told."""


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    settings = PostgresSettings(shared_buffers_mb=16)
    with open_services("embedded", settings=settings, only=["postgres"]) as opened:
        yield opened.postgres


@pytest.fixture
def conninfo(own_postgres: Postgres) -> str:
    """Of a database with one user and no more."""
    create_database(own_postgres.conninfo(), "restarted")
    found = own_postgres.conninfo("restarted")
    with psycopg.connect(found) as conn:
        create_schema(conn)
        conn.execute("INSERT INTO users VALUES (1, %s, 'Ada', 'free', '2025-01-01+00')", [ADA])
    set_password(found, 1, PASSWORD)
    return found


@pytest.mark.parametrize(
    ("mode", "deadline_s"), [("fast", 10.0), ("immediate", 1.0)], ids=["waited out", "told"]
)
def test_reads_are_retried_writes_are_applied_once_and_errors_end_with_the_outage(
    mode: RestartMode,
    deadline_s: float,
    own_postgres: Postgres,
    conninfo: str,
    redis_server: Redis,
) -> None:
    answers: list[tuple[float, httpx.Response]] = []

    async def scenario(proxy: Proxy, through: str) -> tuple[float, float]:
        # without the cache everything asks PostgreSQL, the session of each request included
        settings = settings_for(
            through,
            redis_server.url(),
            without=("cache",),
            deadline_s=deadline_s,
            wait_timeout_s=WAIT_S,
        )
        async with running(settings) as client:
            ada = await signed_in(client, ADA)
            half, done = asyncio.Event(), asyncio.Event()

            async def ask(
                method: str, path: str, headers: dict[str, str], json: Any = None
            ) -> httpx.Response:
                answer = await client.request(method, path, headers=headers, json=json)
                answers.append((time.monotonic(), answer))
                return answer

            async def read() -> None:
                while not done.is_set():
                    await ask("GET", "/tasks?limit=5", ada)

            async def write(writer: int) -> None:
                for number in range(WRITES):
                    if number == WRITES // 2:
                        half.set()
                    key = f"{writer}-{number}"
                    headers = ada | {"idempotency-key": key}
                    # a client that was told 503 asks for the same again
                    while (await ask("POST", "/tasks", headers, {"title": key})).status_code != 201:
                        await asyncio.sleep(0.02)

            readers = [asyncio.create_task(read()) for _ in range(READERS)]
            writers = [asyncio.create_task(write(n)) for n in range(WRITERS)]
            await half.wait()
            began = time.monotonic()
            proxy.refuse()
            proxy.cut()
            await asyncio.to_thread(own_postgres.restart, mode)
            await asyncio.sleep(LONGER_S)
            proxy.resume()
            back = time.monotonic()
            await asyncio.gather(*writers)
            done.set()
            await asyncio.gather(*readers)
            metrics = (await client.get("/metrics")).text
            assert "perflab_pool_retries_total 0.0" not in metrics
            return began, back

    with postgres_proxy(conninfo) as (proxy, through):
        began, back = run(scenario(proxy, through))
    assert {answer.status_code for _, answer in answers} <= {200, 201, 503}
    refused = [(at, answer) for at, answer in answers if answer.status_code == 503]
    if deadline_s > back - began:
        assert refused == []
    else:
        assert refused
    for at, answer in refused:
        # whoever began to ask in the outage is told before its deadline is over
        assert began <= at <= back + deadline_s + WAIT_S + 1.0
        assert int(answer.headers["retry-after"]) >= 1
    found = execute(conninfo, "SELECT title, count(*) FROM tasks GROUP BY title")
    expected = {f"{writer}-{number}" for writer in range(WRITERS) for number in range(WRITES)}
    assert {title for title, _ in found} == expected, "a write was lost or made up"
    assert {count for _, count in found} == {1}, "a write was applied twice"
