"""``%(name)s`` placeholders of a statement: found, and what is no placeholder refused."""

from __future__ import annotations

import re

_PERCENT = re.compile(r"%(?:\((?P<name>\w+)\)s|(?P<literal>%)|(?P<rest>.{0,12}))", re.DOTALL)


class PlaceholderError(ValueError):
    """A percent sign that is neither a placeholder nor doubled."""


def placeholders(sql: str) -> tuple[str, ...]:
    """The names in order of appearance, each once; ``%%`` is a percent sign.

    Raises a PlaceholderError for any other percent sign.
    """
    names: list[str] = []
    for found in _PERCENT.finditer(sql):
        if found["name"]:
            names.append(found["name"])
        elif not found["literal"]:
            shown = " ".join(f"%{found['rest']}".split())
            raise PlaceholderError(
                f"the percent sign in {shown!r} is no placeholder; write %(name)s for a parameter "
                "and %% for a percent sign"
            )
    return tuple(dict.fromkeys(names))


def without_percent(sql: str) -> str:
    """The statement for reading only: ``%(name)s`` as ``:name``, ``%%`` as ``%``."""
    return _PERCENT.sub(lambda m: f":{m['name']}" if m["name"] else "%", sql)
