"""Clients that mean no good, on real sockets: the right status, and the server stays up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from .conftest import World
from .support import run, served, signed_in

HOST = "127.0.0.1"
JSON = b"content-type: application/json\r\n"
START = b"POST /auth/login HTTP/1.1\r\nhost: a\r\n" + JSON


@contextlib.asynccontextmanager
async def connected(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def said(reader: asyncio.StreamReader) -> bytes:
    """What the server says until it ends the connection, which it must do soon."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            return await reader.read(-1)
    return b""


async def asked(port: int, data: bytes) -> int:
    """The status of the answer to these bytes; 0 if the connection just ended."""
    async with connected(port) as (reader, writer):
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            async with asyncio.timeout(10):
                line = await reader.readline()
            return int(line.split()[1]) if line else 0
    return 0


async def is_up(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}") as client:
        assert (await client.get("/public/stats")).status_code == 200


def body(content: bytes, fields: bytes = JSON) -> bytes:
    length = str(len(content)).encode()
    return b"POST /auth/login HTTP/1.1\r\nhost: a\r\ncontent-length: %s\r\n%s\r\n%s" % (
        length, fields, content,
    )  # fmt: skip


FIELDS = b"".join(b"x-%d: y\r\n" % n for n in range(100))
LOGIN = b'{"email":"a@b.c","password":"x"}'
GET = b"GET /healthz HTTP/1.1\r\nhost: a\r\n"
BAD: list[tuple[str, bytes, set[int]]] = [
    ("no HTTP", b"\x00\xff\xfe garbage\r\n\r\n", {0, 400}),
    ("too many fields", GET + FIELDS + b"\r\n", {431}),
    ("a field too large", GET + b"x: " + b"y" * 200_000 + b"\r\n\r\n", {431}),
    ("a path too long", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", {414}),
    ("a field without a name", GET + b": y\r\n\r\n", {400}),
    ("a NUL in a field", GET + b"x: a\x00b\r\n\r\n", {400}),
    ("two lengths", START + b"content-length: 3\r\ncontent-length: 5\r\n\r\n{}}", {0, 400}),
    ("length and chunks", START + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
     {0, 400, 408}),
    ("a length that is none", START + b"content-length: x\r\n\r\n", {400}),
    ("a chunk that is none", START + b"transfer-encoding: chunked\r\n\r\nzz\r\n", {0, 400}),
    ("a body announced too large", START + b"content-length: 99999999999\r\n\r\n", {413}),
    ("a body too large", body(b" " * 200_000), {413}),
    ("deep JSON", body(b"[" * 30_000 + b"]" * 30_000), {400, 422}),
    ("deep JSON in a field", body(b'{"email":' + b'{"a":' * 9_000 + b"1" + b"}" * 9_001),
     {400, 422}),
    ("bad UTF-8", body(b'{"email":"\xff\xfe","password":"x"}'), {400}),
    ("a lone surrogate", body(b'{"email":"\\ud800","password":"x"}'), {400}),
    ("a NUL in text", body(b'{"email":"a\\u0000b","password":"x"}'), {422}),
    ("a number beyond all bounds", body(b'{"email":1e999999,"password":"x"}'), {400, 422}),
    ("no JSON", body(LOGIN, b"content-type: text/plain\r\n"), {415}),
    ("a bad coding in the path", b"GET /tasks/%ff%00 HTTP/1.1\r\nhost: a\r\n\r\n", {401, 404}),
    ("a token that is no ASCII", GET + b"authorization: Bearer \xff\xfe\r\n\r\n", {200, 400}),
]  # fmt: skip


def test_bad_requests_have_their_statuses_and_none_brings_the_server_down(world: World) -> None:
    async def scenario(port: int) -> None:
        for what, data, statuses in BAD:
            status = await asked(port, data)
            assert status in statuses, (what, status)
        await is_up(port)

    settings = msgspec.structs.replace(world.settings, body_s=1.0)
    run(served(settings, scenario))


async def dribbled(port: int, first: bytes, then: bytes, every_s: float) -> tuple[bytes, float]:
    """What is said to bytes that come one at a time for as long as the server listens."""
    async with connected(port) as (reader, writer):
        started = time.monotonic()
        writer.write(first)

        async def go_on() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(then)
                    await writer.drain()
                    await asyncio.sleep(every_s)

        dribbling = asyncio.create_task(go_on())
        try:
            answer = await said(reader)
        finally:
            dribbling.cancel()
            await asyncio.wait([dribbling])
        return answer, time.monotonic() - started


@pytest.mark.parametrize(
    ("first", "then", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n", b"x: y\r\n", b""),
        (b"GET /", b"a", b""),
        (START + b"content-length: 60000\r\n\r\n", b" ", b"408"),
        (START + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n", b"408"),
    ],
    ids=["fields", "first line", "body", "chunks"],
)
def test_a_client_that_dribbles_is_not_waited_for(
    first: bytes, then: bytes, status: bytes, world: World
) -> None:
    async def scenario(port: int) -> None:
        answer, took_s = await dribbled(port, first, then, 0.05)
        assert 0.4 < took_s < 5
        if status:
            assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
            assert b"application/problem+json" in answer
        else:
            assert not answer.startswith(b"HTTP/1.1 2"), answer[:200]
        await is_up(port)

    settings = msgspec.structs.replace(world.settings, body_s=0.5)
    run(served(settings, scenario, headers_s=0.5))


def test_hundreds_of_slow_connections_keep_nobody_out_and_are_closed(world: World) -> None:
    async def scenario(port: int) -> None:
        async with contextlib.AsyncExitStack() as stack:
            slow = [await stack.enter_async_context(connected(port)) for _ in range(300)]
            for number, (_, writer) in enumerate(slow):
                writer.write((GET, START + b"content-length: 50\r\n\r\n{")[number % 2])
            async with asyncio.timeout(5):
                await is_up(port)
            ended = await asyncio.gather(*(said(reader) for reader, _ in slow))
            assert {one[9:12] for one in ended[1::2]} == {b"408"}
        await is_up(port)

    settings = msgspec.structs.replace(world.settings, body_s=2.0)
    run(served(settings, scenario, headers_s=2.0))


def test_a_client_that_never_reads_holds_up_nobody(world: World) -> None:
    async def scenario(port: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}") as client:
            token = (await signed_in(client, world.ada_email))["authorization"].encode()
        request = b"GET /tasks?limit=100 HTTP/1.1\r\nhost: a\r\nauthorization: %s\r\n\r\n" % token
        async with connected(port) as (reader, writer):
            writer.write(request * 500)
            async with asyncio.timeout(5):
                await is_up(port)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")

    run(served(world.settings, scenario))


def test_a_connection_that_idles_is_closed(world: World) -> None:
    async def scenario(port: int) -> None:
        async with connected(port) as (reader, writer):
            writer.write(GET + b"\r\n")
            started = time.monotonic()
            assert (await said(reader)).startswith(b"HTTP/1.1 200")
            assert 0.4 < time.monotonic() - started < 5

    run(served(world.settings, scenario, headers_s=0.5))


def test_half_requests_do_not_hold_up_the_end(world: World) -> None:
    told_at = 0.0

    async def scenario(port: int) -> None:
        nonlocal told_at
        for first in (GET, START + b"content-length: 50\r\n\r\n{"):
            _, writer = await stack.enter_async_context(connected(port))
            writer.write(first)
            await writer.drain()
        await is_up(port)
        told_at = time.monotonic()

    async def ended() -> None:
        async with stack:
            await served(world.settings, scenario)
            assert time.monotonic() - told_at < 8, "the body alone would have had ten"

    stack = contextlib.AsyncExitStack()
    run(ended())
