"""COMMITs that are applied while their replies are lost: the fate that a client cannot know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class LosesCommitReplies:
    """A proxy that passes COMMIT on to the server and swallows the reply, ``times`` times."""

    def __init__(self, host: str, port: int, times: int) -> None:
        self._address = host, port
        self.times = times

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._address)
        cut = asyncio.Event()

        async def up() -> None:
            while data := await reader.read(65_536):
                if self.times and b"COMMIT" in data:
                    self.times -= 1
                    cut.set()
                upstream_writer.write(data)

        async def down() -> None:
            while data := await upstream_reader.read(65_536):
                if cut.is_set():
                    break  # the server has answered: the transaction is applied
                writer.write(data)

        tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for stream in (writer, upstream_writer):
            stream.close()
            with suppress(ConnectionError):
                await stream.wait_closed()


@asynccontextmanager
async def losing_commit_replies(
    conninfo: str, times: int = 1
) -> AsyncIterator[tuple[LosesCommitReplies, str]]:
    """The proxy in front of a database, and the conninfo that leads through it."""
    parts = conninfo_to_dict(conninfo)
    proxy = LosesCommitReplies(str(parts["host"]), int(str(parts["port"])), times)
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield proxy, make_conninfo(conninfo, host="127.0.0.1", port=port, sslmode="disable")
    finally:
        server.close()
