"""An HTTP server in a thread of its own that answers as a test tells it, in raw bytes."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from perflab.load import Target

DEADLINE_S = 30.0


class Asked(NamedTuple):
    """A request as it came in."""

    connection: int
    """The connection's number, from 0."""
    method: str
    target: str
    fields: dict[str, str]
    body: bytes


Answer = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]
"""Writes an answer; may close the writer or raise ``Hang``."""


class Server:
    """What it was asked, and where it listens."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.port = 0

    @property
    def target(self) -> Target:
        return Target("127.0.0.1", self.port)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            while not writer.is_closing():
                asked = await _read(number, reader)
                self.asked.append(asked)
                await self.answer(asked, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


async def _read(connection: int, reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, version = first.split(" ")
    assert version == "HTTP/1.1"
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    return Asked(connection, method, target, fields, body)


@contextmanager
def serving(
    answer: Answer, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    """Serve until the end of the block; requests under way are cancelled then."""
    server = Server(answer)
    ready, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def main() -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.CancelledError):
                await server.connected(reader, writer)

        listening = await asyncio.start_server(connected, host, 0, backlog=1024, ssl=tls)
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        await over.wait()
        listening.close()
        # all of them: a connection that was just accepted has a task that nobody has seen yet
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert ready.wait(DEADLINE_S)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
        loop.close()


def says(*parts: bytes) -> Answer:
    """Always these bytes, each part flushed on its own."""

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)

    return answer


def then_closes(answer: Answer) -> Answer:
    """The same, and the end of the connection."""

    async def closing(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await answer(asked, writer)
        await writer.drain()
        writer.close()

    return closing


async def never(_: Asked, __: asyncio.StreamWriter) -> None:
    """No answer until the server ends."""
    await asyncio.Event().wait()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ok = says(OK)
