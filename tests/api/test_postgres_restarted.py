"""PostgreSQL restarts under load: nothing is written twice, and errors end with the outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import psycopg
import pytest

from perflab.api.credentials import set_password
from perflab.schema.seed import create_schema
from perflab.services import Postgres, PostgresSettings, Redis, open_services
from perflab.services.servers import RestartMode

from .support import PASSWORD, create_database, execute, run, running, settings_for, signed_in

READERS = 12
WRITERS = 8
WRITES = 12
"""Of each writer."""


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    settings = PostgresSettings(shared_buffers_mb=16)
    with open_services("embedded", settings=settings, only=["postgres"]) as opened:
        yield opened.postgres


@pytest.mark.parametrize(
    ("mode", "deadline_s"), [("fast", 10.0), ("immediate", 0.1)], ids=["waited out", "told"]
)
def test_reads_are_retried_writes_are_applied_once_and_errors_end_with_the_outage(
    mode: RestartMode, deadline_s: float, own_postgres: Postgres, redis_server: Redis
) -> None:
    create_database(own_postgres.conninfo(), "restarted")
    conninfo = own_postgres.conninfo("restarted")
    with psycopg.connect(conninfo) as conn:
        create_schema(conn)
        conn.execute(
            "INSERT INTO users VALUES (1, 'ada@example.com', 'Ada', 'free', '2025-01-01+00')"
        )
    email = set_password(conninfo, 1, PASSWORD)
    # without the cache everything asks PostgreSQL, the session of each request included
    settings = settings_for(conninfo, redis_server.url(), without=("cache",))
    settings = msgspec.structs.replace(
        settings, deadline_s=deadline_s, wait_timeout_s=min(deadline_s, 1.0)
    )
    answers: list[tuple[float, httpx.Response]] = []

    async def scenario() -> tuple[float, float]:
        async with running(settings) as client:
            ada = await signed_in(client, email)
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
            await asyncio.to_thread(own_postgres.restart, mode)
            back = time.monotonic()
            await asyncio.gather(*writers)
            done.set()
            await asyncio.gather(*readers)
            metrics = (await client.get("/metrics")).text
            assert "perflab_pool_retries_total 0.0" not in metrics
            return began, back

    began, back = run(scenario())
    assert {answer.status_code for _, answer in answers} <= {200, 201, 503}
    refused = [(at, answer) for at, answer in answers if answer.status_code == 503]
    if deadline_s > back - began:
        assert refused == []
    else:
        assert refused
    for at, answer in refused:
        # whoever began to ask in the outage is told before its deadline is over
        assert began <= at <= back + deadline_s + settings.wait_timeout_s + 1.0
        assert int(answer.headers["retry-after"]) >= 1
    found = execute(conninfo, "SELECT title, count(*) FROM tasks GROUP BY title")
    expected = {f"{writer}-{number}" for writer in range(WRITERS) for number in range(WRITES)}
    assert {title for title, _ in found} == expected, "a write was lost or made up"
    assert {count for _, count in found} == {1}, "a write was applied twice"
