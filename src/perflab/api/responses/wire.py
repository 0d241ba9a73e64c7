"""Fields as a server and an application hand them over, which is as bytes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from perflab.api.responses.dates import parse_date
from perflab.api.responses.errors import ResponseError
from perflab.api.responses.remembered import Pairs
from perflab.api.responses.representation import (
    ASKED,
    DIGESTS,
    Asked,
    Fields,
    Representation,
    directives,
    joined,
    read_request,
)
from perflab.asgi import Message

_MATTERS: Final = frozenset(name.encode() for name in ASKED)
_ITS_OWN: Final = frozenset(
    name.encode()
    for name in (
        "set-cookie", "content-encoding", "content-range", "transfer-encoding", "trailer", *DIGESTS
    )
)  # fmt: skip
"""A response with one of these is none of the middleware's business."""
_TOLD: Final = frozenset({"content-type", "cache-control", "etag", "last-modified",
                          "content-length"})  # fmt: skip
"""The component writes these itself."""
_SHORT: Final = 200
"""A longer field of a request is read anew: it is none that is sent again and again."""
_KNOWN: Final = 8192
"""Fields of applications and of requests that were looked at: most come again and again."""


@lru_cache(_KNOWN)
def is_candidate(fields: Pairs) -> bool:
    """Whether a response with these fields may be made anew, as far as they tell."""
    types = 0
    for name, value in fields:
        lower = name.lower()
        if lower == b"content-type":
            types += 1
            if value.lower().startswith(b"text/event-stream"):
                return False
        elif lower in _ITS_OWN or (
            lower == b"cache-control"
            and b"no-transform" in value.lower()
            and "no-transform" in directives(value.decode("latin-1"))
        ):
            return False
    return types == 1


def representation(status: int, fields: Fields, body: bytes) -> Representation:
    """The application's response; a ResponseError where it is malformed."""
    modified = joined(fields, "last-modified")
    at = None if modified is None else parse_date(modified, time.time())
    if modified is not None and at is None:
        raise ResponseError(f"Last-Modified {modified!r} is no date")
    return Representation(
        body=body,
        media_type=joined(fields, "content-type") or "",
        status=status,
        last_modified=at,
        cache_control=joined(fields, "cache-control"),
        etag=joined(fields, "etag"),
        fields=tuple(one for one in fields if one[0].lower() not in _TOLD),
    )


def asked_by(headers: Iterable[tuple[bytes, bytes]]) -> Asked:
    """What a request says about the form of its response."""
    fields = tuple([field for field in headers if field[0] in _MATTERS])
    for _, value in fields:
        if len(value) > _SHORT:
            return _parsed(fields)
    return _known(fields)


def _parsed(fields: Pairs) -> Asked:
    return read_request((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)


_known = lru_cache(_KNOWN)(_parsed)


def decoded(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """As text."""
    return tuple(
        (bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in fields
    )


def pairs(message: Message) -> Pairs:
    """The fields of an application's answer, whatever it holds them in."""
    return tuple(map(tuple, message.get("headers", ())))


@lru_cache(1024)
def encoded(name: str, value: str) -> tuple[bytes, bytes]:
    """As bytes; most come again and again, and the memory of responses holds them once."""
    return name.lower().encode("latin-1"), value.encode("latin-1")
