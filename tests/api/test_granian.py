"""The application under granian: started, stopped, and not brought down by strange clients."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import httpx
import msgspec
import pytest

from perflab.api.app import create_app
from perflab.api.server import ServerFailed, serve
from perflab.api.settings import ApiSettings
from perflab.services.ports import free_ports

from .conftest import World
from .support import Clock, run, signed_in


async def served(settings: ApiSettings, scenario: Callable[[int], Awaitable[None]]) -> None:
    """The scenario against the application under granian, which is then told to stop."""
    port = next(free_ports())
    ready = asyncio.Event()
    app = create_app(settings, clock=Clock())
    serving = asyncio.create_task(serve(app, host="127.0.0.1", port=port, ready=ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not serving.done():
        try:
            await scenario(port)
        finally:
            signal.raise_signal(signal.SIGINT)
    await serving


async def raw(port: int, data: bytes) -> bytes:
    """What the server says to these bytes until it ends the connection, or for a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(1):
            return await reader.read(65_536)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()


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


def test_garbage_floods_and_half_requests_leave_it_up(world: World) -> None:
    async def scenario(port: int) -> None:
        flood = b"".join(b"x-%d: y\r\n" % n for n in range(2_000))
        for data in (
            b"\x00\xff\xfe garbage\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nhost: a\r\n" + flood + b"\r\n",
            b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
            b"POST /auth/login HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n"
            b"content-type: application/json\r\n\r\n{",
        ):
            said = await raw(port, data)
            assert not said.startswith(b"HTTP/1.1 5"), said[:100]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/healthz")).status_code == 200

    run(served(world.settings, scenario))


def test_a_startup_that_fails_says_why(world: World) -> None:
    settings = msgspec.structs.replace(
        world.settings, postgres="host=127.0.0.1 port=1 dbname=x", deadline_s=0.2
    )

    async def scenario(port: int) -> None:
        raise AssertionError("it must not start")

    with pytest.raises(ServerFailed, match="no connection to the database"):
        run(served(settings, scenario))
