"""A TCP proxy on loopback in front of a server: outages for servers that the lab must not stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from perflab.services.errors import ServiceError
from perflab.services.ports import free_ports

HOST = "127.0.0.1"
_CHUNK_BYTES = 64 * 2**10
_IN_FLIGHT = 256
"""Chunks that one direction of a connection holds back at most while it is delayed."""
_BACKLOG = 128
_PORT_TRIES = 20
_ANSWER_S = 10.0
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time left: closing sends a reset, as the end of a server's process does."""


class Proxy:
    """Passes bytes between clients and one server, and breaks that on demand.

    It knows no protocol, so it serves PostgreSQL and Redis, in the clear or over TLS. The server
    itself notices nothing but connections that end. It runs in a thread with an event loop of its
    own; every method may be called from any other thread and returns when its effect is there.

    Args:
        host: the server's name or address; beginning with ``/`` the path of a Unix socket,
            beginning with ``@`` the name of an abstract one. ``port`` is not used for those.
        port: the server's port.
        latency_s: seconds by which bytes are late, in each direction.
    """

    def __init__(self, host: str, port: int = 0, *, latency_s: float = 0.0) -> None:
        self._upstream = (host, port)
        self._latency_s = latency_s
        self._holder: socket.socket | None = None
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._flows: asyncio.Event = asyncio.Event()
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="perflab-proxy", daemon=True)

    def __repr__(self) -> str:
        return f"<Proxy to {self._upstream[0]}:{self._upstream[1]}>"

    @property
    def host(self) -> str:
        """The address that clients connect to."""
        return HOST

    @property
    def port(self) -> int:
        """The port that clients connect to; the same for as long as the proxy is open."""
        if self._holder is None:
            raise ServiceError("the proxy is not open; use it in a with statement")
        return int(self._holder.getsockname()[1])

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return int(self._do(self._count))

    @property
    def latency_s(self) -> float:
        """Seconds by which bytes are late, in each direction; may be changed at any time."""
        return self._latency_s

    @latency_s.setter
    def latency_s(self, seconds: float) -> None:
        self._latency_s = seconds

    def cut(self) -> None:
        """Break every connection now, with a reset; new ones are served."""
        self._do(self._cut)

    def refuse(self) -> None:
        """Refuse new connections until ``resume``, as where no server runs; others live on."""
        self._do(self._stop_listening)

    def stall(self) -> None:
        """Let nothing through until ``resume``: connections stay open and nobody answers."""
        self._do(self._stall)

    def resume(self) -> None:
        """Serve again, what was held back first."""
        self._do(self._resume)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._do(self._open)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, what: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        if not self._thread.is_alive():
            raise ServiceError("the proxy is not open; use it in a with statement")
        return asyncio.run_coroutine_threadsafe(what(), self._loop).result(_ANSWER_S)

    def _end(self) -> None:
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_S)
        self._loop.close()

    async def _open(self) -> None:
        self._holder = _hold_a_port()
        self._flows.set()
        await self._listen()

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._serve, sock=_bound(self.port), backlog=_BACKLOG, limit=_CHUNK_BYTES
            )

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            await asyncio.sleep(0)

    async def _count(self) -> int:
        return len(self._clients)

    async def _cut(self) -> None:
        for writer in self._clients:
            _reset(writer)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _stall(self) -> None:
        self._flows.clear()

    async def _resume(self) -> None:
        self._flows.set()
        await self._listen()

    async def _close(self) -> None:
        await self._stop_listening()
        await self._cut()
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs a handler in a task
        self._tasks.add(task)
        self._clients.add(writer)
        try:
            await self._flows.wait()
            await self._join(reader, writer)
        except OSError:
            _reset(writer)  # the server does not answer: neither do we
        except asyncio.CancelledError:
            pass  # cut
        finally:
            self._clients.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect to the server and pass bytes both ways until both sides have ended."""
        upstream_reader, upstream_writer = await _dial(*self._upstream)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, upstream_writer))
                both.create_task(self._pass_on(upstream_reader, writer))
        except* OSError:
            _reset(writer)
        finally:
            upstream_writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction: each chunk is sent when it is due, while the next ones come in."""
        loop = asyncio.get_running_loop()
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_FLIGHT)

        async def take() -> None:
            data = b"?"
            while data:
                data = await reader.read(_CHUNK_BYTES)
                await held.put((loop.time() + self._latency_s, data))

        async def give() -> None:
            while True:
                due, data = await held.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self._flows.wait()
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            with contextlib.suppress(OSError):
                writer.write_eof()

        await _both(take(), give())


async def _both(*parts: Coroutine[Any, Any, None]) -> None:
    """Run to the end of all; the first error ends the others and is raised as it is."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _dial(host: str, port: int) -> Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    if host.startswith(("/", "@")):
        path = host.replace("@", "\0", 1) if host.startswith("@") else host
        return asyncio.open_unix_connection(path, limit=_CHUNK_BYTES)
    return asyncio.open_connection(host, port, limit=_CHUNK_BYTES)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def _hold_a_port() -> socket.socket:
    """A socket that keeps a port for the proxy, also while nothing listens there."""
    ports = free_ports()
    for _ in range(_PORT_TRIES):
        with contextlib.suppress(OSError):
            return _bound(next(ports))
    raise ServiceError("no free port found for the proxy")


def _bound(port: int) -> socket.socket:
    # both the holder's and the listener's: the kernel lets them share the port, and a connection
    # is refused while only the holder, which never listens, is there
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((HOST, port))
    except OSError:
        sock.close()
        raise
    return sock


@contextmanager
def postgres_proxy(conninfo: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy in front of the PostgreSQL of ``conninfo``, and the conninfo that leads through it.

    ``host`` stays as it is where it is a name, since certificates are checked against it. A
    server on a Unix socket is reached over TCP, and the proxy takes the socket from there.
    """
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    parts = conninfo_to_dict(conninfo)
    host, port = str(parts.get("hostaddr") or parts["host"]), int(str(parts.get("port") or 5432))
    if host.startswith(("/", "@")):
        upstream, name = Proxy(f"{host}/.s.PGSQL.{port}"), HOST
    else:
        upstream, name = Proxy(host, port), str(parts.get("host") or host)
    with upstream as proxy:
        yield proxy, make_conninfo(conninfo, host=name, hostaddr=proxy.host, port=proxy.port)
