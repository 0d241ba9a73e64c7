"""ASGI middleware: requests are charged before the application sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from perflab.arguments import check_function, check_hook, check_kind
from perflab.asgi import App, Message, Receive, Scope, Send
from perflab.ratelimit.decision import Charge, Decision
from perflab.ratelimit.errors import RateLimitError
from perflab.ratelimit.headers import PROBLEM_JSON, fields, problem, status
from perflab.ratelimit.limiter import RateLimiter
from perflab.ratelimit.subjects import Subject, TrustedProxies

Who = Callable[[Scope], Subject]
Charges = Callable[[Scope], Sequence[Charge]]

_ANSWERS: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)
"""The messages that begin an answer and carry its fields."""
_TRY_AGAIN_LATER: Final = 1013
"""The close code for a WebSocket whose server cannot refuse the handshake with a response."""
_NOBODY_KNOWS: Final = Subject("ip:unknown")


def client_address(
    proxies: TrustedProxies | None = None, *, ipv6_prefix: int = 64
) -> Callable[[Scope], Subject]:
    """Charges by client address.

    Requests whose client cannot be told, on a Unix socket without a trusted proxy or with a server
    that names no address, share one subject.
    """
    if proxies is not None:
        check_kind("proxies", proxies, TrustedProxies, RateLimitError)
    trusted = TrustedProxies() if proxies is None else proxies

    def who(scope: Scope) -> Subject:
        peer = scope.get("client")
        forwarded = [
            value.decode("latin-1")
            for name, value in scope["headers"]
            if name == b"x-forwarded-for"
        ]
        client = trusted.client(peer[0] if peer and peer[0] else None, forwarded)
        try:
            return _NOBODY_KNOWS if client is None else Subject.address(client, ipv6_prefix)
        except RateLimitError:
            return _NOBODY_KNOWS  # a server may put a name there, as test clients do

    return who


def by_path(
    rules: Mapping[str, str | Iterable[str]],
    who: Who,
    *,
    cost: Callable[[Scope], int] | None = None,
) -> Charges:
    """Charges by the longest path that a request's path equals or lies below.

    Args:
        rules: a path, such as ``/api``, and the policies that are charged together below it; no
            policies for a path that is free. ``/`` is every path.
        who: whose quota it is.
        cost: units of a request; 1 without.
    """
    _check_hook("who", who)
    if cost is not None:
        _check_hook("cost", cost)
    for path in rules:
        if not isinstance(path, str) or not path.startswith("/"):
            raise RateLimitError(f"the path {path!r} must begin with a slash")
    listed = {
        path.rstrip("/"): (names,) if isinstance(names, str) else tuple(names)
        for path, names in rules.items()
    }
    deepest = max((path.count("/") for path in listed), default=0)

    def policies_of(path: str) -> tuple[str, ...]:
        while path not in listed:
            if not path:
                return ()
            path = path.rpartition("/")[0]
        return listed[path]

    def charges(scope: Scope) -> Sequence[Charge]:
        names = policies_of("/".join(scope["path"].split("/", deepest + 1)[: deepest + 1]))
        if not names:
            return ()
        subject = who(scope)
        units = 1 if cost is None else cost(scope)
        return [Charge(name, subject, units) for name in names]

    return charges


def _check_hook(name: str, hook: object) -> None:
    check_hook(name, hook, RateLimitError)


class RateLimitMiddleware:
    """Lets a request pass and says what is left, or answers it with 429 (503 in an outage).

    A WebSocket is charged at its handshake; where the server cannot answer that with a response,
    it is closed. A shadow policy lets pass and is not spoken of.

    Args:
        app: the application.
        limiter: decides; opened and closed by whoever made it.
        charges: what a request costs; nothing for one that is free. See ``by_path``.
        legacy: also send ``X-RateLimit-*``.
    """

    def __init__(
        self, app: App, limiter: RateLimiter, charges: Charges, *, legacy: bool = False
    ) -> None:
        check_kind("limiter", limiter, RateLimiter, RateLimitError)
        check_function("app", app, RateLimitError)
        _check_hook("charges", charges)
        self._app = app
        self._limiter = limiter
        self._charges = charges
        self._legacy = legacy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        charged = self._charges(scope) if scope["type"] in ("http", "websocket") else ()
        if not charged:
            await self._app(scope, receive, send)
            return
        decision = await self._limiter.check_all(charged)
        if not decision.allowed:
            await self._refuse(scope, receive, send, decision)
            return
        said = self._fields(decision)

        def send_with_fields(message: Message) -> Awaitable[None]:
            if message["type"] in _ANSWERS:
                message = {**message, "headers": [*message.get("headers", ()), *said]}
            return send(message)

        await self._app(scope, receive, send_with_fields)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, decision: Decision) -> None:
        kind = "http.response"
        if scope["type"] == "websocket":
            await receive()  # the handshake
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
                return
            kind = "websocket.http.response"
        body = problem(decision)
        headers = [
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            *self._fields(decision),
        ]
        await send({"type": f"{kind}.start", "status": status(decision), "headers": headers})
        await send({"type": f"{kind}.body", "body": body if scope.get("method") != "HEAD" else b""})

    def _fields(self, decision: Decision) -> list[tuple[bytes, bytes]]:
        found = fields(decision, legacy=self._legacy)
        return [(name.encode(), value.encode()) for name, value in found]
