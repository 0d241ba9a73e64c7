"""Errors as ``application/problem+json`` (RFC 9457); a client never sees a traceback."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from perflab.asgi import App, Message, Receive, Scope, Send
from perflab.cache import LoadTimeout
from perflab.database.pool import DatabaseUnavailable, PoolTimeout

PROBLEM_JSON: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
"""What a client is told while PostgreSQL is away: it is back, or not, within a moment."""

_LOG: Final = logging.getLogger(__name__)
_UNAVAILABLE: Final = (DatabaseUnavailable, PoolTimeout, LoadTimeout)
_encode: Final = msgspec.json.Encoder().encode


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The members of a problem; without a type of its own the title is the status's phrase."""

    title: str
    status: int
    detail: str = ""


class Problem(Exception):
    """A request cannot be served; raised anywhere below a route.

    Args:
        status: from 400 on.
        detail: for the client: what is wrong with this request.
        headers: further response fields.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """As an answer that no cache keeps."""
        body = ProblemBody(
            title=HTTPStatus(self.status).phrase, status=self.status, detail=self.detail
        )
        fields = {"cache-control": "no-store", **self.headers}
        return Response(_encode(body), self.status, fields, PROBLEM_JSON)


def no_such_thing() -> Problem:
    """A 404; it does not tell what never was from what is somebody else's."""
    return Problem(404, "you have no such thing")


def refusal_of(error: Exception) -> Response | None:
    """What a client is answered where an error was foreseen; None for any other.

    Whoever caught the error must not keep the Problem: its traceback holds their frame, and a
    cycle would hold the request, and with it the connection, until the next garbage collection.
    """
    problem = _as_problem(error)
    return None if problem is None else problem.response()


def _as_problem(error: Exception) -> Problem | None:
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return Problem(error.status_code, error.detail, error.headers)
    if isinstance(error, _UNAVAILABLE):
        retry = {"retry-after": str(RETRY_AFTER_S)}
        return Problem(503, "the database does not answer in time; try again", retry)
    return None


class ProblemsMiddleware:
    """Answers whatever middleware, or a defect, raises; a defect is logged and becomes 500.

    It stands outside everything that can fail. What an endpoint raises, and was foreseen, is
    answered where endpoints are called.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        def watched(message: Message) -> Awaitable[None]:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            return send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                # the path alone: a query can hold what is nobody's business
                _LOG.exception("%s %s failed", scope["method"], scope["path"])
                defect = Problem(500, "this is the server's fault, and it has been logged")
                refusal = defect.response()
            if begun:
                raise
            await refusal(scope, receive, send)
