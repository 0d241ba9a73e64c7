"""The application under granian: started, stopped, and not brought down by strange clients."""

from __future__ import annotations

import asyncio

import httpx
import msgspec
import pytest

from perflab.api.server import ServerFailed

from .conftest import World
from .support import run, served, signed_in


def test_it_serves_and_stops_on_sigint_with_a_connection_open(world: World) -> None:
    async def scenario(port: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            ada = await signed_in(client, world.ada_email)
            first = await client.get("/tasks?limit=100", headers=ada | {"accept-encoding": "gzip"})
            assert first.headers["content-encoding"] == "gzip"
            assert len(first.json()["tasks"]) > 10
            headers = ada | {"accept-encoding": "gzip", "if-none-match": first.headers["etag"]}
            assert (await client.get("/tasks?limit=100", headers=headers)).status_code == 304
            head = await client.head("/public/stats")
            assert (head.status_code, head.content) == (200, b"")
            large = await client.post("/tasks", content=b" " * 200_000, headers=ada)
            assert large.status_code in (413, 415)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await reader.read(15)).startswith(b"HTTP/1.1 200")
        left_open.append(writer)

    left_open: list[asyncio.StreamWriter] = []

    async def stopped() -> None:
        await served(world.settings, scenario)
        left_open[0].close()

    run(stopped())


def test_more_clients_than_its_backlog_hold_their_connections_and_are_answered(
    world: World,
) -> None:
    asked = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"

    async def scenario(port: int) -> None:
        held = []
        for _ in range(12):
            held += await asyncio.gather(
                *(asyncio.open_connection("127.0.0.1", port) for _ in range(100))
            )
        for _, writer in held:
            writer.write(asked)
        async with asyncio.timeout(10):
            first = await asyncio.gather(*(reader.read(15) for reader, _ in held))
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in first)
        for _, writer in held:
            writer.close()

    run(served(world.settings, scenario))


def test_a_startup_that_fails_says_why(world: World) -> None:
    settings = msgspec.structs.replace(
        world.settings, postgres="host=127.0.0.1 port=1 dbname=x", deadline_s=0.2
    )

    async def scenario(port: int) -> None:
        raise AssertionError("it must not start")

    with pytest.raises(ServerFailed, match="no connection to the database"):
        run(served(settings, scenario))
