"""The rival as a program: a server of ``websockets`` that broadcasts what Redis tells it.

Its first line of input is a ``BroadcastOrder``; it answers with its address. Each further line is
answered with a ``Spent``. It ends when its input does. Set up for speed: uvloop, hiredis, no
compression, no pings, and the library's own ``broadcast``, which writes without waiting.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from typing import Any

import msgspec
import psutil
import uvloop
from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection, broadcast, serve

from perflab.realtime.sockets import need_files


class BroadcastOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to broadcast."""

    redis: str
    topic: str
    connections: int
    cores: list[int]
    """To stay on."""


class Spent(msgspec.Struct, frozen=True):
    """What it cost so far."""

    cpu_s: float
    """Processor time, the system's on its behalf included."""


async def _main() -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    order = msgspec.json.decode(await lines.readline(), type=BroadcastOrder)
    need_files(order.connections)
    psutil.Process().cpu_affinity(order.cores)
    listening: set[ServerConnection] = set()

    async def joined(connection: ServerConnection) -> None:
        listening.add(connection)
        await connection.wait_closed()
        listening.discard(connection)

    async def pass_on() -> None:
        async for told in hearing.listen():
            if told["type"] == "message":
                # as the log writes it: lane, offset and epoch before the data
                broadcast(listening, told["data"].split(b":", 3)[3])

    client: Any = Redis.from_url(order.redis, socket_timeout=None)
    hearing = client.pubsub()
    await hearing.subscribe(order.topic)
    server = await serve(joined, "127.0.0.1", 0, compression=None, ping_interval=None)
    passing = asyncio.ensure_future(pass_on())
    host, port = server.sockets[0].getsockname()[:2]
    print(f"ws://{host}:{port}", flush=True)
    gc.freeze()
    while await lines.readline():
        if passing.done():
            passing.result()
        print(msgspec.json.encode(Spent(time.process_time())).decode(), flush=True)
    passing.cancel()
    server.close()
    await client.aclose()


if __name__ == "__main__":
    uvloop.run(_main())
