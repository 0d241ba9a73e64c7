"""What goes in and comes out: a representation, the fields of a request, a response."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import msgspec

from perflab.api.responses.errors import ResponseError
from perflab.api.responses.validators import UNCONDITIONAL, Conditions, EntityTag, read_tag

Fields: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, in order."""

_VALUE: Final = re.compile(
    r"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?"
)
_WORD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_NAME: Final = re.compile(_WORD)
_MEDIA_TYPE: Final = re.compile(rf"{_WORD}/{_WORD}(?:[ \t]*;.*)?")

_OWNED: Final = {
    "cache-control": "set cache_control instead",
    "content-type": "set media_type instead",
    "etag": "set etag instead",
    "last-modified": "set last_modified instead",
    "content-encoding": "a body is given without a coding",
    "content-length": "it follows from the body",
    "content-range": "parts of a body are not for this component",
    "transfer-encoding": "it is the server's",
    "trailer": "it is the server's",
}
_WITHOUT_CONTENT: Final = frozenset({204, 205, 206, 304})

DIGESTS: Final = frozenset({"content-digest", "repr-digest", "digest", "content-md5"})
"""Fields about the very bytes (RFC 9530): a coding would make them wrong."""

_COMPRESSIBLE: Final = frozenset(
    {
        "application/javascript",
        "application/json",
        "application/manifest+json",
        "application/msgpack",
        "application/openmetrics-text",
        "application/sql",
        "application/toml",
        "application/vnd.apache.arrow.file",
        "application/vnd.apache.arrow.stream",
        "application/wasm",
        "application/x-ndjson",
        "application/xml",
        "application/yaml",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/svg+xml",
    }
)
_COMPRESSIBLE_SUFFIXES: Final = ("+json", "+xml", "+yaml", "+msgpack", "+cbor")


class Representation(msgspec.Struct, frozen=True, kw_only=True):
    """What a resource has to say, before codings and conditions.

    A ResponseError names what cannot be sent.
    """

    body: bytes
    """Without a coding."""
    media_type: str
    """The value of ``Content-Type``, parameters included."""
    status: int = 200
    last_modified: float | None = None
    """Unix seconds."""
    cache_control: str | None = None
    """``no-transform`` keeps codings away (RFC 9111 §5.2.2.6); use it too where a secret and
    what a stranger can put into the request come together in one body (BREACH)."""
    etag: str | None = None
    """Of the body without a coding, with its quotes: where the content has a version that is
    known without reading the body. By default it is made of the body."""
    fields: Fields = ()
    """Further ones."""

    def __post_init__(self) -> None:
        if not isinstance(self.body, bytes):
            raise ResponseError(f"a body is bytes, not {type(self.body).__name__}")
        if not 200 <= self.status <= 599 or self.status in _WITHOUT_CONTENT:
            raise ResponseError(f"a response of status {self.status} is not made of content")
        if not _MEDIA_TYPE.fullmatch(self.media_type):
            raise ResponseError(f"{self.media_type[:60]!r} is no media type")
        at = self.last_modified
        if at is not None and not (math.isfinite(at) and 0 <= at < 253_402_300_800):
            raise ResponseError(f"last_modified={at} must be Unix seconds up to the year 9999")
        _check("Content-Type", self.media_type)
        if self.cache_control is not None:
            _check("Cache-Control", self.cache_control)
        if self.etag is not None:
            read_tag(self.etag)
        for name, value in self.fields:
            if (instead := _OWNED.get(name.lower())) is not None:
                raise ResponseError(f"the field {name} cannot be given: {instead}")
            _check(name, value)

    def own_tag(self) -> EntityTag | None:
        """The ETag that was given, read."""
        return None if self.etag is None else read_tag(self.etag)

    def may_be_coded(self) -> bool:
        """Whether a coding would leave everything that it says true."""
        return not (
            "no-transform" in directives(self.cache_control)
            or any(name.lower() in DIGESTS for name, _ in self.fields)
        )


class Response(msgspec.Struct, frozen=True):
    """What to send; the server adds ``Date``."""

    status: int
    fields: Fields
    body: bytes
    """Empty for HEAD and 304."""

    @property
    def coded(self) -> bool:
        """Whether the content is, or for HEAD would be, under a coding."""
        return self.field("content-encoding") is not None

    def field(self, name: str) -> str | None:
        """The value of a field, its lines joined with commas; None where there is none."""
        return joined(self.fields, name.lower())


class Asked(msgspec.Struct, frozen=True):
    """What a request says about the form of its response."""

    accept_encoding: str | None
    conditions: Conditions


ASKED: Final = {
    "accept-encoding": "accept_encoding",
    "if-match": "if_match",
    "if-none-match": "if_none_match",
    "if-modified-since": "if_modified_since",
    "if-unmodified-since": "if_unmodified_since",
}
"""The fields of a request that matter, and where they are kept."""


def read_request(fields: Mapping[str, str] | Iterable[tuple[str, str]]) -> Asked:
    """The fields that matter; several lines of one are joined with commas (RFC 9110 §5.2)."""
    found: dict[str, str] = {}
    for name, value in fields.items() if isinstance(fields, Mapping) else fields:
        known = ASKED.get(name.lower())
        if known is not None:
            found[known] = f"{found[known]}, {value}" if known in found else value
    accepted = found.pop("accept_encoding", None)
    return Asked(accepted, Conditions(**found) if found else UNCONDITIONAL)


def joined(fields: Iterable[tuple[str, str]], wanted: str) -> str | None:
    """The value of the field whose name in lower case is ``wanted``."""
    found = [value for name, value in fields if name.lower() == wanted]
    return ", ".join(found) if found else None


def directives(cache_control: str | None) -> frozenset[str]:
    """The names in ``Cache-Control``, in lower case."""
    if not cache_control:
        return frozenset()
    return frozenset(part.partition("=")[0].strip().lower() for part in cache_control.split(","))


def with_accept_encoding(vary: str | None) -> str:
    """``Vary`` with ``Accept-Encoding`` in it (§12.5.5); ``*`` already says more."""
    if not vary:
        return "Accept-Encoding"
    names = {name.strip().lower() for name in vary.split(",")}
    return vary if names & {"*", "accept-encoding"} else f"{vary}, Accept-Encoding"


def is_compressible(media_type: str) -> bool:
    """Whether bodies of this type get smaller; images, sound and archives are compressed."""
    name = media_type.partition(";")[0].strip().lower()
    return (
        name.startswith("text/") or name in _COMPRESSIBLE or name.endswith(_COMPRESSIBLE_SUFFIXES)
    )


def _check(name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        raise ResponseError(f"{name[:60]!r} is no name of a field")
    if not _VALUE.fullmatch(value):
        raise ResponseError(f"the field {name} cannot carry {value[:60]!r}")
