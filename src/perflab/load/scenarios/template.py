"""``${name}`` in paths, fields and bodies: parsed once, filled in for every request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

Values: TypeAlias = Mapping[str, Any]

_SLOT: Final = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[^{}]*)\})")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")


class TemplateError(ValueError):
    """A text is no template; the message says why."""


class Template:
    """A text with names in it. ``$$`` stands for one dollar sign.

    A TemplateError if a ``$`` begins neither ``$$`` nor ``${name}``.
    """

    def __init__(self, text: str) -> None:
        # texts and names in turn, beginning with a text
        self._parts: list[str] = [""]
        at = 0
        for slot in _SLOT.finditer(text):
            self._parts[-1] += _plain(text[at : slot.start()])
            at = slot.end()
            if slot["dollar"]:
                self._parts[-1] += "$"
                continue
            if not _NAME.fullmatch(slot["name"]):
                raise TemplateError(f"${{{slot['name']}}}: a name is like token or account.email")
            self._parts += [slot["name"], ""]
        self._parts[-1] += _plain(text[at:])

    @property
    def names(self) -> set[str]:
        """What must be known to fill it in."""
        return set(self._parts[1::2])

    @property
    def only(self) -> str | None:
        """The name, where the text is one name and nothing else."""
        return self._parts[1] if len(self._parts) == 3 and not "".join(self._parts[::2]) else None

    def fill(self, values: Values, code: Callable[[str], str] = str) -> str:
        """The text with values for the names, each through ``code``."""
        parts = self._parts
        if len(parts) == 1:
            return parts[0]
        return "".join(
            code(str(values[part])) if number % 2 else part for number, part in enumerate(parts)
        )


def _plain(text: str) -> str:
    if "$" in text:
        raise TemplateError("a $ begins ${name}, or is written $$")
    return text


class Tree:
    """Templates in the texts of a JSON value; a text that is one name takes the value's type."""

    def __init__(self, value: object) -> None:
        self._value = _parsed(value)

    @property
    def names(self) -> set[str]:
        """What must be known to fill it in."""
        return set(_names(self._value))

    def fill(self, values: Values) -> object:
        """The value with values for the names."""
        return _filled(self._value, values)


def _parsed(value: object) -> object:
    match value:
        case str():
            return Template(value)
        case list():
            return [_parsed(one) for one in value]
        case dict():
            return {key: _parsed(one) for key, one in value.items()}
        case _:
            return value


def _names(value: object) -> Iterable[str]:
    match value:
        case Template():
            yield from value.names
        case list():
            for one in value:
                yield from _names(one)
        case dict():
            for one in value.values():
                yield from _names(one)


def _filled(value: object, values: Values) -> object:
    match value:
        case Template():
            return values[value.only] if value.only is not None else value.fill(values)
        case list():
            return [_filled(one, values) for one in value]
        case dict():
            return {key: _filled(one, values) for key, one in value.items()}
        case _:
            return value
