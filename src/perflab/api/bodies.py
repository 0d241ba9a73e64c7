"""What clients send: bounded bodies and query strings, decoded into typed Structs."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from perflab.api.problems import Problem

T = TypeVar("T")

LARGEST_ID: Final = 2**63 - 1
RowId = Annotated[int, Meta(ge=1, le=LARGEST_ID)]
_TEXT: Final = r"\A[^\x00]*\Z"
"""PostgreSQL's text holds no NUL."""
Title = Annotated[str, Meta(min_length=1, max_length=500, pattern=_TEXT)]
Line = Annotated[str, Meta(min_length=1, max_length=320, pattern=_TEXT)]

encode: Final = msgspec.json.Encoder().encode


async def read_body(request: Request, decoder: msgspec.json.Decoder[T], most_bytes: int) -> T:
    """The body as the decoder's type.

    Raises:
        Problem: 413 for more than ``most_bytes``, 415 for what is not JSON, 400 for JSON or UTF-8
            that is malformed, 422 for values of another type and for unknown fields.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(415, "send the body as application/json")
    body = await _bounded(request, most_bytes)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Problem(422, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, f"the body is no JSON: {error}") from None
    except RecursionError:
        raise Problem(400, "the body is nested too deeply") from None


def read_query(request: Request, type_: type[T]) -> T:
    """The query string as a Struct; a 400 for a parameter that is unknown, wrong or repeated."""
    given = request.query_params.multi_items()
    pairs = dict(given)
    if len(pairs) < len(given):
        raise Problem(400, "a query parameter is given twice")
    try:
        return msgspec.convert(pairs, type_, strict=False)
    except msgspec.ValidationError as error:
        raise Problem(400, f"query: {error}") from None


def path_id(request: Request) -> int:
    """The ``id`` of the path; a 404 for one that no row can have."""
    text = str(request.path_params["id"])
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_ID))):
        raise Problem(404, "there is no such thing")
    found = int(text)
    if not 1 <= found <= LARGEST_ID:
        raise Problem(404, "there is no such thing")
    return found


def json_response(
    body: bytes, status: int = 200, *, cache_control: str = "private, no-cache", **fields: str
) -> Response:
    """A response of JSON that is encoded already; by default each client validates its own copy."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return Response(body, status, {"cache-control": cache_control, **headers}, "application/json")


async def _bounded(request: Request, most_bytes: int) -> bytes:
    too_large = Problem(413, f"a body has at most {most_bytes} bytes")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length[:20]) > most_bytes:
        raise too_large
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most_bytes:
                raise too_large
    except ClientDisconnect:
        raise Problem(400, "the body ended early") from None
    return bytes(body)
