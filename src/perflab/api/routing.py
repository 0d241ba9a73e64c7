"""Routes: one for each path, and for each method what it takes, answers and refuses.

The declaration is what a request is read by and what ``/openapi.json`` is made of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar, overload

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from perflab.api.authentication import signed_in
from perflab.api.problems import Problem, refusal_of
from perflab.asgi import Receive, Scope, Send

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
Answering: TypeAlias = Coroutine[Any, Any, None]
"""A request on its way, as Starlette wants it told."""

IDEMPOTENCY_KEY: Final = "Idempotency-Key"


class Input(Protocol[T_co]):
    """What is read of a request before its handler is called."""

    @property
    def shown(self) -> Any:
        """The type of what is read, as clients are told."""

    @property
    def problems(self) -> Sequence[int]:
        """The statuses with which reading may end."""

    async def read(self, request: Request) -> T_co:
        """Read it; a Problem where it is wrong."""


class Operation(Generic[T]):
    """One method of one path.

    Its first line of documentation is the handler's. Statuses that follow from the declaration
    itself need no mention: 401, what ``takes`` refuses, 404 under a path with parameters, 304,
    406 and 412 of a GET, 429 of what is charged, 503.

    Args:
        handler: called with the request, and with what was read of it.
        answers: the type of the body by status; None where there is no body, ``str`` for text.
        takes: what the handler wants to be given.
        problems: further statuses with which it may end.
        anybody: whether it is open to requests without a token. Else those end in 401 before
            anything is read of them.
        repeatable: whether it takes an ``Idempotency-Key``.
    """

    @overload
    def __init__(
        self: Operation[None],
        handler: Handler,
        answers: Mapping[int, Any],
        *,
        takes: None = None,
        problems: Sequence[int] = (),
        anybody: bool = False,
        repeatable: bool = False,
    ) -> None: ...

    @overload
    def __init__(
        self,
        handler: Callable[[Request, T], Awaitable[Response]],
        answers: Mapping[int, Any],
        *,
        takes: Input[T],
        problems: Sequence[int] = (),
        anybody: bool = False,
        repeatable: bool = False,
    ) -> None: ...

    def __init__(
        self,
        handler: Callable[..., Awaitable[Response]],
        answers: Mapping[int, Any],
        *,
        takes: Input[T] | None = None,
        problems: Sequence[int] = (),
        anybody: bool = False,
        repeatable: bool = False,
    ) -> None:
        self.handler = handler
        self.answers = answers
        self.takes = takes
        self.problems = problems
        self.anybody = anybody
        self.repeatable = repeatable

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        if not self.anybody:
            signed_in(request)
        if self.takes is None:
            return await self.handler(request)
        return await self.handler(request, await self.takes.read(request))


class Resource(Route):
    """A path with the operations of its methods, and the types of its parameters."""

    def __init__(
        self, path: str, operations: Mapping[str, Operation[Any]], parameters: Mapping[str, Any]
    ) -> None:
        self.operations = operations
        self.parameters = parameters
        handlers: dict[str, Handler] = dict(operations)
        if "GET" in handlers:
            handlers["HEAD"] = handlers["GET"]
        self.answers = _Endpoint(handlers)
        super().__init__(path, self.answers)
        if self.param_convertors.keys() != parameters.keys():
            raise ValueError(f"{path}: parameters {', '.join(parameters)} are described")


class _Endpoint:
    """Answers each method with its handler; what a handler raises, and was foreseen, is an answer.

    An ASGI application, which Starlette calls as it is. A function it would wrap in a handling of
    errors of its own.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._allow = {"allow": ", ".join(handlers)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive, send)
        try:
            handler = self._handlers.get(request.method)
            if handler is None:
                raise Problem(405, "this path has other methods", self._allow)
            response = await handler(request)
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise
            response = refusal
        await response(scope, receive, send)


class Paths(Router):
    """Starlette's router, which looks for a path route by route, with a short cut for paths
    without parameters."""

    def __init__(self, routes: Sequence[Resource], **options: Any) -> None:
        self._fixed = {route.path: route.answers for route in routes if not route.param_convertors}
        super().__init__(routes, redirect_slashes=False, default=_nothing_there, **options)

    def app(self, scope: Scope, receive: Receive, send: Send) -> Answering:
        """Answer at a path."""
        found = self._fixed.get(scope["path"]) if scope["type"] == "http" else None
        return (super().app if found is None else found)(scope, receive, send)


class Templates:
    """Names the route of a request for those who count: a path with its parameters in braces."""

    def __init__(self, routes: Sequence[Resource]) -> None:
        self._fixed = {route.path for route in routes if not route.param_convertors}
        self._others = [route for route in routes if route.param_convertors]

    def of(self, scope: Scope) -> str:
        """The path of the route; ``unknown`` where there is none."""
        path = scope["path"]
        if path in self._fixed:
            return str(path)
        for route in self._others:
            if route.path_regex.match(path):
                return route.path
        return "unknown"


async def _nothing_there(scope: Scope, receive: Receive, send: Send) -> None:
    await Problem(404, "there is nothing at this path").response()(scope, receive, send)


def resource(
    path: str,
    *,
    get: Operation[Any] | None = None,
    post: Operation[Any] | None = None,
    patch: Operation[Any] | None = None,
    delete: Operation[Any] | None = None,
    **parameters: Any,
) -> Resource:
    """The operations of a path, all in one route, so that a 405 names all methods.

    HEAD is GET, of which the server leaves the body away. ``parameters`` are the types of what
    stands in braces in the path.
    """
    given = {"GET": get, "POST": post, "PATCH": patch, "DELETE": delete}
    return Resource(
        path, {method: one for method, one in given.items() if one is not None}, parameters
    )
