"""``GET /metrics`` over HTTP for processes that are no web servers, on their own event loop.

A loop that stands still does not answer either, as it should be: nothing else would tell a
process that hangs from one that is well.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Final

from perflab.closing import Closing
from perflab.monitor.errors import MonitorError
from perflab.monitor.registry import MetricsRegistry

HOST: Final = "127.0.0.1"
_HEAD_BYTES: Final = 16 * 1024
_PATIENCE_S: Final = 5.0
_HIGHEST_PORT: Final = 65_535


class MetricsEndpoint(Closing):
    """Serves a registry's figures at ``/metrics``, one request a connection.

    On loopback unless told otherwise: figures are nobody else's business, and nothing here asks
    who is asking.

    Args:
        registry: of the process.
        port: 0 for any that is free.
        host: to listen on.

    Raises:
        MonitorError: the port is none, or cannot be listened on.
    """

    def __init__(self, registry: MetricsRegistry, *, port: int = 0, host: str = HOST) -> None:
        is_whole = isinstance(port, int) and not isinstance(port, bool)
        if not is_whole or not 0 <= port <= _HIGHEST_PORT:
            raise MonitorError(f"port={port!r} for /metrics: must be from 0 to {_HIGHEST_PORT}")
        self._registry = registry
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> MetricsEndpoint:
        try:
            self._server = await asyncio.start_server(
                self._serve, self._host, self._port, limit=_HEAD_BYTES
            )
        except OSError as error:
            raise MonitorError(
                f"cannot listen on {self._host}:{self._port} for /metrics: {error.strerror};"
                " choose another port"
            ) from None
        return self

    @property
    def url(self) -> str:
        """Where the figures are."""
        if self._server is None:
            raise MonitorError("the endpoint is not open; use it with: async with MetricsEndpoint")
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}/metrics"

    async def close(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head.decode("latin-1")))
                await writer.drain()
                writer.write_eof()
                await reader.read()  # until the client closes: closing first could cut it off
        writer.transport.abort()

    def _answer(self, head: str) -> bytes:
        request, *lines = head.split("\r\n")
        method, _, rest = request.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if path != "/metrics":
            return _response("404 Not Found", b"the figures are at /metrics\n")
        if method not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", b"", "Allow: GET, HEAD\r\n")
        fields = dict(line.lower().split(":", 1) for line in lines if ":" in line)
        body, kind = self._registry.render(fields.get("accept", "").strip())
        answer = _response("200 OK", body, kind=kind)
        return answer if method == "GET" else answer[: answer.index(b"\r\n\r\n") + 4]


@contextlib.contextmanager
def served_from_thread(registry: MetricsRegistry, *, port: int = 0) -> Iterator[str]:
    """Serve from a thread with an event loop of its own, for programs without one; gives the URL.

    For parts whose ``stats()`` may be called from other threads.

    Raises:
        MonitorError: the port is none, or cannot be listened on.
    """
    opened: list[str | Exception] = []
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        try:
            async with MetricsEndpoint(registry, port=port) as endpoint:
                opened.append(endpoint.url)
                ready.set()
                await asyncio.to_thread(over.wait)
        except Exception as error:  # noqa: BLE001 - raised again by whoever wants to serve
            opened.append(error)
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="metrics", daemon=True)
    thread.start()
    ready.wait()
    (found,) = opened
    if isinstance(found, Exception):
        raise found
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _response(
    status: str, body: bytes, fields: str = "", *, kind: str = "text/plain; charset=utf-8"
) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\n{fields}Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body
