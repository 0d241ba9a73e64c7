"""The application under granian, in this process and on this event loop, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import psutil
from granian.constants import HTTPModes, Interfaces
from granian.errors import FatalError
from granian.http import HTTP1Settings
from granian.server.embed import Server

from perflab.api.garbage import rarely_collected
from perflab.api.threads import patient_threads
from perflab.asgi import App, Message, Receive, Scope, Send
from perflab.descriptors import allow_connections
from perflab.errors import PerflabError

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
HEADERS_S: Final = 30.0
"""How long a client may take for the fields of a request; also how long a connection may idle."""
HEADER_BYTES: Final = 64 * 1024
"""Of a request's first line and fields, about: what was read at once is not cut off."""
GRACE_S: Final = 3.0
"""How long requests that are under way may take once the server was told to stop."""
_BACKLOG: Final = 1024
_CONNECTIONS: Final = 16_384
"""Served at once, idle ones included; left out, granian serves no more than its backlog, and the
next client's connection is open but never answered."""
_PAUSE_S: Final = 0.02


class ServerFailed(PerflabError):
    """The application did not start; the message says why."""


async def serve(
    app: App, *, host: str, port: int, ready: Callable[[], None], headers_s: float = HEADERS_S
) -> None:
    """Answer requests until SIGINT or SIGTERM; the application's lifespan is over then.

    Requests under way have ``GRACE_S`` to end; connections that are left then are closed.

    Within one process, so that nothing outlives it however it ends.

    Args:
        app: an ASGI application with a lifespan.
        host: to listen on.
        port: which must be free: granian would share it with another server.
        ready: called when requests are answered.
        headers_s: how long a client may take for the fields of a request, however it dribbles
            them; then the connection is closed. The application bounds bodies itself.

    Raises:
        ServerFailed: the application's startup failed.
    """
    allow_connections(_CONNECTIONS)
    watched = _Watched(app)
    server = Server(
        watched,
        host,
        port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_CONNECTIONS,
        http1_settings=HTTP1Settings(
            header_read_timeout=round(headers_s * 1000), max_buffer_size=HEADER_BYTES
        ),
        log_enabled=False,
    )
    # retries are counted (``pool.retries``); an outage would write a line for each request
    logging.getLogger("stamina").setLevel(logging.ERROR)
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    told = asyncio.Event()
    begin_to_end: Callable[[], None] = server.stop

    def stop() -> None:
        begin_to_end()
        told.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        with patient_threads():
            serving = asyncio.create_task(server.serve())
            answering = asyncio.create_task(_answers(host, port))
            closing = asyncio.create_task(_close_what_is_left(told, port))
            await asyncio.wait({serving, answering}, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                ready()
            with rarely_collected():
                await serving
    except FatalError as error:
        raise ServerFailed(f"the API did not start: {watched.failure or error}") from None
    finally:
        answering.cancel()
        closing.cancel()
        await asyncio.wait({answering, closing})
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


class _Watched:
    """The application, with the reason for which its startup failed."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.failure = ""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "lifespan":
            return self._app(scope, receive, send)
        return self._live(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                lines = str(message.get("message", "")).strip().splitlines()
                self.failure = lines[-1] if lines else "no reason given"
            await send(message)

        with contextlib.suppress(PerflabError):  # told by the message
            await self._app(scope, receive, noted)


async def _close_what_is_left(told: asyncio.Event, port: int) -> None:
    """Once told, close this process's connections of the port after the grace.

    granian waits for every request that has begun, be it half a line that never goes on.
    """
    await told.wait()
    await asyncio.sleep(GRACE_S)
    for one in psutil.Process().net_connections("tcp"):
        if one.laddr and one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(one.fd)) as left:
                left.shutdown(socket.SHUT_RDWR)


async def _answers(host: str, port: int) -> None:
    """Return when a request is answered; the port is open long before that."""
    asked = f"GET /healthz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode()
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(asked)
                if await reader.read(1):
                    return
            finally:
                writer.close()
        await asyncio.sleep(_PAUSE_S)
