"""What clients send: bounded bodies and query strings, decoded into typed Structs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Meta
from msgspec.inspect import BoolType, IntType, StructType, Type, VarTupleType
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from perflab.api.problems import Problem, no_such_thing

T = TypeVar("T")

LARGEST_ID: Final = 2**63 - 1
RowId = Annotated[int, Meta(ge=1, le=LARGEST_ID)]
TEXT: Final = r"^[^\x00]*$"
"""PostgreSQL's text holds no NUL. Anchored in a way that Python and JSON Schema read alike."""
Title = Annotated[str, Meta(min_length=1, max_length=500, pattern=TEXT)]
Line = Annotated[str, Meta(min_length=1, max_length=320, pattern=TEXT)]

_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_BOOLEANS: Final = {"true": True, "false": False}

_QUERIES: Final = 1024
"""Queries of an operation that are kept at hand: clients send the same ones again and again."""
_SHORT_QUERY: Final = 200

encode: Final = msgspec.json.Encoder().encode


class Body(Generic[T]):
    """A request's body as a type.

    Args:
        type_: what it must be.
        most_bytes: of the body.
        within_s: in which all of it must arrive; a client that dribbles is not waited for.
        shown: what clients are told that it must be, if that says more.
    """

    problems: Final[Sequence[int]] = (400, 408, 413, 415, 422)

    def __init__(
        self, type_: type[T], most_bytes: int, within_s: float, *, shown: Any = None
    ) -> None:
        self.shown: Final[Any] = type_ if shown is None else shown
        self._decoder = msgspec.json.Decoder(type_)
        self._most_bytes = most_bytes
        self._within_s = within_s

    async def read(self, request: Request) -> T:
        """The body of a request.

        Raises:
            Problem: 413 for more than ``most_bytes``, 408 for one that takes too long, 415 for
                what is not JSON, 400 for JSON or UTF-8 that is malformed, 422 for values of
                another type and for unknown fields.
        """
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Problem(415, "send the body as application/json")
        try:
            async with asyncio.timeout(self._within_s):
                body = await _bounded(request, self._most_bytes)
        except TimeoutError:
            slow = f"the body did not arrive within {self._within_s:g} s"
            raise Problem(408, slow, {"connection": "close"}) from None
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise Problem(422, str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Problem(400, f"the body is no JSON: {error}") from None
        except RecursionError:
            raise Problem(400, "the body is nested too deeply") from None


class Query(Generic[T]):
    """A query string as a Struct; a field that is a list takes a parameter given repeatedly."""

    problems: Final[Sequence[int]] = (400,)

    def __init__(self, type_: type[T]) -> None:
        self.shown = type_
        self._type = type_
        described = msgspec.inspect.type_info(type_)
        fields = described.fields if isinstance(described, StructType) else ()
        self._types = {one.encode_name: one.type for one in fields}
        self._remembered = lru_cache(_QUERIES)(self._read)

    async def read(self, request: Request) -> T:
        """The query of a request; a 400 for a parameter that is unknown, wrong or repeated."""
        text: bytes = request.scope["query_string"]
        return self._remembered(text) if len(text) <= _SHORT_QUERY else self._read(text)

    def _read(self, text: bytes) -> T:
        parameters = QueryParams(text)
        given: dict[str, object] = {}
        for name in parameters:
            values, type_ = parameters.getlist(name), self._types.get(name)
            if isinstance(type_, VarTupleType):
                given[name] = values
            elif len(values) > 1:
                raise Problem(400, "a query parameter is given twice")
            else:
                given[name] = _plain(values[0], type_)
        try:
            return msgspec.convert(given, self._type)
        except msgspec.ValidationError as error:
            raise Problem(400, f"query: {error}") from None


def _plain(text: str, type_: Type | None) -> object:
    """A parameter in its one spelling as JSON; anything else stays text, which is refused."""
    if isinstance(type_, IntType) and _WHOLE.fullmatch(text):
        return int(text)
    if isinstance(type_, BoolType) and text in _BOOLEANS:
        return _BOOLEANS[text]
    return text


def path_id(request: Request, name: str = "id") -> int:
    """An id of the path; a 404 for one that no row can have."""
    text = str(request.path_params[name])
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_ID))):
        raise no_such_thing()
    found = int(text)
    if not 1 <= found <= LARGEST_ID:
        raise no_such_thing()
    return found


def json_response(
    body: bytes, status: int = 200, *, cache_control: str = "private, no-cache"
) -> Response:
    """A response of JSON that is encoded already; by default each client validates its own copy."""
    return _Json(body, status, cache_control)


class _Json(Response):
    """Its fields are known, so none are looked for."""

    def __init__(self, body: bytes, status: int, cache_control: str) -> None:
        self._cache_control = cache_control
        super().__init__(body, status)

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Called by Starlette."""
        self.raw_headers = [
            (b"cache-control", self._cache_control.encode()),
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
        ]


async def _bounded(request: Request, most_bytes: int) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length[:20]) > most_bytes:
        raise _too_large(most_bytes)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most_bytes:
                raise _too_large(most_bytes)
    except ClientDisconnect:
        raise Problem(400, "the body ended early") from None
    return bytes(body)


def _too_large(most_bytes: int) -> Problem:
    return Problem(413, f"a body has at most {most_bytes} bytes")
