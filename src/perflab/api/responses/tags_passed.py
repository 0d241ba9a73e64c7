"""Entity tags on their way through a middleware: the application knows none of the codings.

A client that got ``"v1"`` under gzip holds ``"v1-gzip.1a2b3c"``. The application is to recognise
its own tag in that, or it would never answer with 304 itself and refuse every ``If-Match``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from perflab.api.responses.codings import Coding
from perflab.api.responses.validators import EntityTag, read_tags

RawFields = list[tuple[bytes, bytes]]

_SHORT: Final = 200
"""A longer list is read anew."""
_LISTS: Final = (b"if-match", b"if-none-match")


def for_application(
    fields: Iterable[tuple[bytes, bytes]], codings: Sequence[Coding]
) -> RawFields | None:
    """The fields of a request, where tags made under ``codings`` have the plain one beside them.

    None where there is no such tag.
    """
    suffixes = tuple([coding.tag for coding in codings])
    changed = False
    passed = []
    for name, value in fields:
        plain = _with_plain(value, suffixes) if name in _LISTS else value
        changed = changed or plain is not value
        passed.append((name, plain))
    return passed if changed else None


def for_client(tag: EntityTag, if_none_match: str | None, coding: Coding) -> EntityTag:
    """The tag for a 304 of the application's: the coded one, if that is what the client holds."""
    coded = tag.coded(coding.tag)
    held = read_tags(if_none_match or "")
    return coded if held != "*" and coded in held else tag


def _with_plain(value: bytes, suffixes: tuple[str, ...]) -> bytes:
    return (_known if len(value) <= _SHORT else _read)(value, suffixes)


def _read(value: bytes, suffixes: tuple[str, ...]) -> bytes:
    held = read_tags(value.decode("latin-1"))
    if held == "*":
        return value
    plain = [
        found for tag in held for suffix in suffixes if (found := tag.plain(suffix)) is not None
    ]
    if not plain:
        return value
    return ", ".join(map(str, (*held, *plain))).encode("latin-1")


_known = lru_cache(4096)(_read)
"""A client sends the tag that it holds until it gets another."""
