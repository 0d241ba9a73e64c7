"""What the tests of the edge share: an ASGI server, an HTTP client, an origin to be told what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from perflab.asgi import App


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def edge(self) -> str:
        """What the edge says in ``Cache-Status``."""
        return self.headers.get("cache-status", "")


async def get(port: int, target: str, *, method: str = "GET", **headers: str) -> Response:
    """One request; underscores in the names of headers stand for hyphens."""
    fields = {"Host": f"127.0.0.1:{port}", "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode())
    data = b""
    try:
        # not until the connection ends: nginx keeps it while it refreshes behind the answer
        while not (data and _is_whole(data, method)) and (more := await reader.read(65_536)):
            data += more
        return parse(data)
    finally:
        writer.close()


def _is_whole(data: bytes, method: str) -> bool:
    """Whether a response with a length or in chunks is complete."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    fields = parse(head + end).headers
    if method == "HEAD" or head.split()[1] in (b"204", b"304"):
        return True
    if fields.get("transfer-encoding") == "chunked":
        return body.endswith(b"0\r\n\r\n")
    return "content-length" in fields and len(body) >= int(fields["content-length"])


def parse(data: bytes) -> Response:
    """A whole response, up to the end of the connection."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        known = headers.get(name.lower())
        headers[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
    if headers.get("transfer-encoding") == "chunked":
        whole, rest = b"", body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            whole, rest = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        body = whole
    return Response(int(first.split()[1]), headers, body)


class Origin:
    """An ASGI application that answers as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.headers: dict[str, str] = {}
        self.status = 200
        self.version = 1
        self.hold: asyncio.Event | None = None
        """Set it, and responses wait for it between their head and their body."""

    def answers(self, **headers: str) -> None:
        """Send these from now on; underscores stand for hyphens."""
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def asked(self) -> int:
        return len(self.requests)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        given = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((scope["path"], given))
        coding = given.get("accept-encoding", "")
        body = f"{scope['path']} {coding} v{self.version}".encode()
        etag = f'"{coding}{self.version}"'
        status, headers = self.status, self.headers | {"ETag": etag}
        if status == 200 and given.get("if-none-match") == etag:
            status, body = 304, b""
        fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        if self.hold is not None:
            await self.hold.wait()
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serve(app: App, port: int = 0) -> AsyncIterator[int]:
    """A small HTTP server for an ASGI application; its port."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await _one(app, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _one(app: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split()
    pairs = (line.partition(":") for line in lines)
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(n.lower().encode(), v.strip().encode()) for n, _, v in pairs],
    }
    chunked = True

    async def send(message: Mapping[str, Any]) -> None:
        nonlocal chunked
        if message["type"] == "http.response.start":
            fields = list(message["headers"])
            chunked = message["status"] not in (204, 304) and all(
                name != b"content-length" for name, _ in fields
            )
            fields += [(b"connection", b"close")]
            fields += [(b"transfer-encoding", b"chunked")] if chunked else []
            writer.write(f"HTTP/1.1 {message['status']} X\r\n".encode())
            writer.writelines(name + b": " + value + b"\r\n" for name, value in fields)
            writer.write(b"\r\n")
        else:
            body = message.get("body", b"")
            if chunked and body:
                writer.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
            elif body:
                writer.write(body)
            if chunked and not message.get("more_body", False):
                writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": b""}

    await app(scope, receive, send)  # type: ignore[arg-type]


class MemoryTagIndex:
    """A tag index that forgets nothing, and can be told to be away."""

    def __init__(self) -> None:
        self.known: dict[str, set[str]] = {}
        self.lasts_s: list[float] = []
        self.away = False

    async def add(self, url: str, tags: Collection[str], lasts_s: float) -> bool:
        if self.away:
            return False
        self.lasts_s.append(lasts_s)
        for tag in tags:
            self.known.setdefault(tag, set()).add(url)
        return True

    async def urls(self, tags: Collection[str]) -> frozenset[str] | None:
        if self.away:
            return None
        return frozenset().union(*(self.known.get(tag, set()) for tag in tags))


class Later:
    """A clock that stands still until it is told to move on."""

    def __init__(self) -> None:
        self.now = 0.0
        self._moved = asyncio.Event()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            await self._moved.wait()

    def move(self, seconds: float) -> None:
        self.now += seconds
        self._moved.set()
        self._moved = asyncio.Event()
