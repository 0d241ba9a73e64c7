"""An origin of public pages behind the edge.

As a program it reads its orders as JSON from the first line of its input, which holds the URL of
Redis and so is no command line, serves, prints the port, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from granian.constants import Interfaces
from granian.server.embed import Server

from perflab.cache.edge import OriginMiddleware, RedisTagIndex, cache_tag
from perflab.services.ports import free_ports, is_free

HOST: Final = "127.0.0.1"
PATH: Final = "/pages/"
_READY_S: Final = 10.0
_TEXT: Final = "All that is public, and the same for everybody. " * 85


class Orders(msgspec.Struct, frozen=True):
    """What an origin is to be like."""

    redis_url: str
    prefix: str
    """Of the index of tags."""
    control: str
    """``CDN-Cache-Control`` of every page."""
    work_s: float
    """What making a page takes."""
    longest_response_s: float


class Pages:
    """The application: numbered pages of about 4 KB, each with a version, an ETag and a tag.

    ``GET`` makes a page, and waits ``?hold=`` seconds after it has read the version; ``PUT``
    changes it.
    """

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._versions: dict[str, int] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        name = scope["path"].removeprefix(PATH)
        if scope["method"] not in ("GET", "HEAD", "PUT"):
            await _answer(send, 405, {"allow": "GET, HEAD, PUT"}, b"")
            return
        if scope["method"] == "PUT":
            self._versions[name] = self.version(name) + 1
            await _answer(send, 204, {}, b"")
            return
        version = self.version(name)
        held = parse_qs(scope["query_string"].decode("latin-1")).get("hold", ["0"])
        await asyncio.sleep(self._orders.work_s + float(held[0]))
        body = f"version {version}\n{_TEXT}".encode()
        fields = {
            "etag": f'"{name}-{version}"',
            "cache-control": "no-cache",
            "cdn-cache-control": self._orders.control,
            "cache-tag": cache_tag([f"page:{name}"]),
            "content-type": "text/plain; charset=utf-8",
        }
        known = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1")
        if known == fields["etag"]:
            await _answer(send, 304, fields, b"")
        else:
            await _answer(send, 200, fields, body)

    def version(self, name: str) -> int:
        """How often a page was changed, and one."""
        return self._versions.get(name, 1)


async def _answer(send: Any, status: int, fields: dict[str, str], body: bytes) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
    if status == 200:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _serve(orders: Orders) -> None:
    index = RedisTagIndex(orders.redis_url, prefix=orders.prefix)
    app = OriginMiddleware(Pages(orders), index, longest_response_s=orders.longest_response_s)
    port = next(free_ports())
    server = Server(
        app, address=HOST, port=port, interface=Interfaces.ASGINL, websockets=False,
        log_enabled=False,
    )  # fmt: skip
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(_READY_S):
        while is_free(port):
            if serving.done():
                await serving
            await asyncio.sleep(0.01)
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # a response under way is nobody's any more


if __name__ == "__main__":
    asyncio.run(_serve(msgspec.json.decode(sys.stdin.readline(), type=Orders)))
