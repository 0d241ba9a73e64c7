"""A server that takes as long as it is asked to, and says how long it took.

As a program it prints its port, serves, and ends when its input does. ``GET /<n>`` is answered
after n microseconds, with the time that it really took as ``X-Held-Us``; ``GET /stop/<n>`` stops
the whole server for n microseconds first.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final, cast

import uvloop

HOST: Final = "127.0.0.1"
HELD: Final = "x-held-us"
STOP: Final = "/stop/"


class Holding(asyncio.Protocol):
    """One connection; requests come one at a time and without a body."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Answer nobody any more."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer a whole head, at its time."""
        came = time.perf_counter()
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):
            return
        target = self._received.split(b" ", 2)[1].decode("ascii")
        self._received = b""
        if target.startswith(STOP):
            time.sleep(int(target.removeprefix(STOP)) / 1e6)
            self._answer(came)
            return
        held_s = int(target[1:]) / 1e6
        if held_s:
            asyncio.get_running_loop().call_later(held_s, self._answer, came)
        else:
            self._answer(came)

    def _answer(self, came: float) -> None:
        if self._transport is not None:
            held_us = round((time.perf_counter() - came) * 1e6)
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s: %d\r\n\r\nok"
                % (HELD.encode(), held_us)
            )


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Holding, HOST, 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
