"""Routes: one for each path, whatever its methods, so that a 405 names all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


def resource(
    path: str,
    *,
    get: Handler | None = None,
    post: Handler | None = None,
    patch: Handler | None = None,
    delete: Handler | None = None,
) -> Route:
    """The handlers of a path by method; HEAD is GET, of which the server leaves the body away."""
    given = {"GET": get, "POST": post, "PATCH": patch, "DELETE": delete}
    handlers = {method: handler for method, handler in given.items() if handler is not None}
    if get is not None:
        handlers["HEAD"] = get

    async def endpoint(request: Request) -> Response:
        return await handlers[request.method](request)

    return Route(path, endpoint, methods=list(handlers))
