"""ASGI middleware for an origin behind ``nginx_config``'s nginx."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import msgspec

from perflab.asgi import App, Message, Receive, Scope, Send
from perflab.cache.edge.names import bare_host, is_canonical, read_cache_tag
from perflab.cache.edge.nginx_config import (
    CLIENT_FIELD,
    EXPIRED,
    FAILED_STALE,
    NO_CLIENT_FIELD,
    STATE_FIELD,
)
from perflab.cache.edge.protocol import EdgeError
from perflab.cache.edge.tag_index import TagIndex
from perflab.cache.edge.targeted import from_plain, from_targeted, served_s

Fields: TypeAlias = list[tuple[bytes, bytes]]

UNTOLD_S: Final = 86_400.0
"""How long a response is taken to be served whose only word about that is ``Expires``."""

_FAILURES: Final = (500, 502, 503, 504)
"""The errors that ``stale-if-error`` means (RFC 5861 §4)."""

_FAILED_STALE: Final[Message] = {
    "type": "http.response.start",
    "status": FAILED_STALE,
    "headers": [(b"cache-control", b"no-store")],
}

_FOR_EDGES: Final = frozenset(
    {b"cdn-cache-control", b"cache-tag", b"x-accel-expires", CLIENT_FIELD.lower().encode()}
)


class OriginStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of an OriginMiddleware."""

    through_edge: int
    """Requests that came through the edge."""
    registered: int
    """Responses whose tags the index has."""
    unregistered: int
    """Responses whose tags it could not be told; a purge finds them at its last repetition."""
    cut_off: int
    """Responses that took longer than the origin may take."""


class OriginMiddleware:
    """Speaks to the nginx edge in words that it knows, and keeps them from everybody else.

    A request that came through the edge (its ``CDN-Loop`` names it) is answered for nginx:
    ``CDN-Cache-Control`` takes the place of ``Cache-Control`` (RFC 9213), what the client shall
    read travels in a field that nginx puts back, ``stale-*`` is left out where
    ``must-revalidate`` forbids it, and the tags of ``Cache-Tag`` are registered before the
    response begins. An ``X-Accel-Expires`` of the application is left out. Where the edge has an
    expired response, a failure is told apart, so that ``stale-if-error`` can cover for it.

    Through the edge the application has ``longest_response_s`` for all of a ``GET`` or ``HEAD``:
    a purge counts on it.

    A request that came through another CDN (Cloudflare) gets the response as it is, since that
    CDN reads those fields itself. A request straight from a client gets it without them.

    Whoever can reach the origin past the edge can name the edge in ``CDN-Loop`` and read those
    fields; they hold no secret.

    Args:
        app: the application.
        index: where tags are registered; without one a purge of tags looks at all files.
        edge: the name of the edge in ``NginxSettings``.
        longest_response_s: as in ``NginxSettings``.
        register_s: how long a response may be held up by the index.
    """

    def __init__(
        self,
        app: App,
        index: TagIndex | None = None,
        *,
        edge: str = "perflab-edge",
        longest_response_s: float = 30.0,
        register_s: float = 0.1,
    ) -> None:
        self._app = app
        self._index = index
        self._edge = edge.lower()
        self._longest_s = longest_response_s
        self._register_s = register_s
        self._through_edge = self._registered = self._unregistered = self._cut_off = 0

    def stats(self) -> OriginStats:
        """The figures so far."""
        return OriginStats(
            through_edge=self._through_edge,
            registered=self._registered,
            unregistered=self._unregistered,
            cut_off=self._cut_off,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        passed = _loop(scope)
        if self._edge in passed:
            self._through_edge += 1
            await self._serve_edge(scope, receive, send)
        elif passed:
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, _without_internals(send))

    async def _serve_edge(self, scope: Scope, receive: Receive, send: Send) -> None:
        cacheable = scope["method"] in ("GET", "HEAD")
        state = _value(scope["headers"], STATE_FIELD.lower().encode())
        asked_for_expired = cacheable and state == EXPIRED
        began = ended = False

        async def answer(message: Message) -> None:
            nonlocal began, ended
            if message["type"] == "http.response.start":
                if asked_for_expired and message["status"] in _FAILURES:
                    message = _FAILED_STALE
                else:
                    fields, control = _for_nginx(list(message.get("headers", ())))
                    if cacheable:
                        await self._register(scope, fields, control)
                    message = {**message, "headers": fields}
                began = True
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                ended = True
            await send(message)
            if ended:
                deadline.reschedule(None)  # what the application does afterwards is its own

        try:
            async with asyncio.timeout(self._longest_s if cacheable else None) as deadline:
                await self._app(scope, receive, answer)
        except TimeoutError:
            if not deadline.expired():
                raise
            self._cut_off += 1
            if began:
                # the server breaks the connection, so that nginx does not store a part
                raise EdgeError(
                    f"the response to {scope['path']} took longer than {self._longest_s:g} s and"
                    " was cut off; make it faster or raise longest_response_s"
                ) from None
            await _gateway_timeout(send)

    async def _register(self, scope: Scope, fields: Fields, control: str) -> None:
        tags = read_cache_tag(_value(fields, b"cache-tag") or "")
        lasts_s = served_s(control)
        if not lasts_s and not control and _value(fields, b"expires"):
            lasts_s = UNTOLD_S
        url = _url(scope)
        if self._index is None or not (tags and lasts_s and url):
            return
        try:
            async with asyncio.timeout(self._register_s):
                done = await self._index.add(url, tags, lasts_s + self._longest_s)
        except TimeoutError:
            done = False
        self._registered += done
        self._unregistered += not done


def _loop(scope: Scope) -> frozenset[str]:
    """The CDNs that a request passed, by ``CDN-Loop`` (RFC 8586)."""
    members = (_value(scope["headers"], b"cdn-loop") or "").lower().split(",")
    return frozenset(name for one in members if (name := one.partition(";")[0].strip()))


def _for_nginx(fields: Fields) -> tuple[Fields, str]:
    """The fields for nginx, and what it reads as ``Cache-Control``."""
    given = _value(fields, b"cache-control")
    targeted = _value(fields, b"cdn-cache-control")
    control = from_targeted(targeted) if targeted is not None else None
    if control is None:
        control = from_plain(given or "")
    vary = _value(fields, b"vary")
    rewritten = {b"cache-control", b"cdn-cache-control", b"x-accel-expires", b"vary"}
    kept = [(name, value) for name, value in fields if name.lower() not in rewritten]
    if control:
        # first: before 1.23 nginx goes by whichever of this and Expires it reads first
        kept.insert(0, (b"cache-control", control.encode("latin-1")))
    if control != (given or ""):
        shown = NO_CLIENT_FIELD if given is None else given
        kept.append((CLIENT_FIELD.lower().encode(), shown.encode("latin-1")))
    if vary:
        kept.append((b"vary", vary.encode("latin-1")))  # one line: older nginx reads the first
    return kept, control


def _value(fields: Any, wanted: bytes) -> str | None:
    """The value of a field, its lines joined (RFC 9110 §5.2); None where there is none."""
    found = [value.decode("latin-1") for name, value in fields if name.lower() == wanted]
    return ", ".join(found) if found else None


def _url(scope: Scope) -> str:
    """The URL as the edge keys it; empty where it stores none."""
    host = _value(scope["headers"], b"host")
    raw = scope.get("raw_path")
    path = raw.decode("latin-1") if raw else quote(scope["path"])
    query = scope.get("query_string", b"").decode("latin-1")
    target = f"{path}?{query}" if query else path
    if not host or not is_canonical(target):
        return ""
    return bare_host(host) + target


def _without_internals(send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            fields = message.get("headers", ())
            kept = [(name, value) for name, value in fields if name.lower() not in _FOR_EDGES]
            message = {**message, "headers": kept}
        await send(message)

    return answer


async def _gateway_timeout(send: Send) -> None:
    body = b"the origin took too long\n"
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 504, "headers": fields})
    await send({"type": "http.response.body", "body": body})
