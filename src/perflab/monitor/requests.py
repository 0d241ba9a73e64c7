"""ASGI middleware that counts and times the requests of any application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from perflab.asgi import App, Message, Receive, Scope, Send
from perflab.histogram import Buckets, Histogram

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
FAILED: Final = 500
"""The status of a request that ended in an exception before its response began."""
GIVEN_UP: Final = 499
"""And of one that was cancelled before: nginx' number for a client that did not wait."""


class OperationStats(msgspec.Struct, frozen=True):
    """The requests of one operation."""

    by_status: dict[int, int]
    """Requests answered, by the status of the answer."""


class RequestStats(msgspec.Struct, frozen=True):
    """A snapshot of what an application has answered."""

    operations: dict[str, OperationStats]
    """By method and route, such as ``GET /tasks/{task}``."""
    latency_s: Buckets
    """From a request's first byte in the application to the last byte of its answer."""
    in_progress: int
    """Requests under way now."""


class RequestsMiddleware:
    """Counts requests by operation and status, and times them; put it outermost.

    Args:
        app: the application.
        route: names the route of a request, from a bounded set: a path as the client wrote it
            would let anybody add labels without end.
        counts: where they are kept, so that whoever assembles the process can register them.
    """

    def __init__(self, app: App, *, route: Callable[[Scope], str], counts: RequestCounts) -> None:
        self._app = app
        self._route = route
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        def watched(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        counts = self._counts
        counts.in_progress += 1
        began = time.perf_counter()
        unanswered = FAILED
        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            unanswered = GIVEN_UP
            raise
        finally:
            counts.in_progress -= 1
            method = scope["method"]
            told = method if method in _METHODS else "other"
            took_s = time.perf_counter() - began
            counts.enter(f"{told} {self._route(scope)}", status or unanswered, took_s)


class RequestCounts:
    """The running counts of a ``RequestsMiddleware``."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, int], int] = {}
        self._latency = Histogram()
        self.in_progress = 0

    def enter(self, operation: str, status: int, took_s: float) -> None:
        """A request was answered."""
        key = operation, status
        self._requests[key] = self._requests.get(key, 0) + 1
        self._latency.observe(took_s)

    def stats(self) -> RequestStats:
        """The requests so far."""
        found: dict[str, dict[int, int]] = {}
        for (operation, status), count in sorted(self._requests.items()):
            found.setdefault(operation, {})[status] = count
        operations = {name: OperationStats(by_status) for name, by_status in found.items()}
        return RequestStats(operations, self._latency.snapshot(), self.in_progress)
