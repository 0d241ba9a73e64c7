"""What is taken out of an answer: a place in its JSON, a match in its body, a field."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from perflab.files import decode_json
from perflab.load.connection import Field

_MISSING: Final = object()


class Answer:
    """A complete answer; its JSON is decoded once, when it is asked for."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head = head
        self.body = body
        self._json: Any = _MISSING

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        if self._json is _MISSING:
            try:
                self._json = decode_json(self.body, object)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._json = None
        return self._json


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where in an answer; exactly one of the three."""

    json: str | None = None
    """Keys and positions joined by dots, e.g. ``items.0.id``; ``*`` for the whole."""
    regex: str | None = None
    """In the body; the first group, or the whole match."""
    header: str | None = None
    """A field's name."""

    @property
    def given(self) -> list[str]:
        """Which of the three are given."""
        return [name for name in ("json", "regex", "header") if getattr(self, name) is not None]


class Extractor:
    """Reads a source off answers; a ``re.error`` if its expression is none."""

    def __init__(self, source: Source) -> None:
        self._path = None if source.json is None else source.json.split(".")
        self._regex = None if source.regex is None else re.compile(source.regex.encode())
        self._field = None if source.header is None else Field(source.header)

    def find(self, answer: Answer) -> Any:
        """The value; None where the answer has none."""
        if self._path is not None:
            return _step_down(answer.json, self._path)
        if self._regex is not None:
            found = self._regex.search(answer.body)
            return None if found is None else found[self._regex.groups and 1].decode("utf-8")
        if self._field is not None:
            value = self._field.value(answer.head)
            return None if value is None else value.decode("latin-1")
        return None


def _step_down(value: Any, path: list[str]) -> Any:
    for key in path:
        if key == "*" and len(path) == 1:
            return value
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
