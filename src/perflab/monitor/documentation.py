"""The documentation of a Struct's fields: their ``Meta`` descriptions or strings below them."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, get_args, get_origin, get_type_hints

import msgspec


@functools.cache
def field_docs(struct: type[msgspec.Struct]) -> Mapping[str, str]:
    """One line for each field that has documentation; empty where no source is at hand."""
    found: dict[str, str] = {}
    for part in reversed(struct.__mro__):
        if part is not msgspec.Struct and issubclass(part, msgspec.Struct):
            found |= _below(part)
    for name, hint in get_type_hints(struct, include_extras=True).items():
        if get_origin(hint) is Annotated:
            for extra in get_args(hint)[1:]:
                if isinstance(extra, msgspec.Meta) and extra.description:
                    found[name] = extra.description
    known = struct.__struct_fields__
    return MappingProxyType(
        {name: _one_line(text) for name, text in found.items() if name in known}
    )


def _below(part: type) -> dict[str, str]:
    """The strings that follow fields in the source, as documentation tools read them."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(part))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return {}
    if not isinstance(body, ast.ClassDef):
        return {}
    found = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            found[field.target.id] = after.value.value
    return found


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "").split())
