"""Statements as pg_stat_statements keeps them, made into SQL that a server takes.

It puts ``$n`` where constants were, also where the grammar has room for a constant only:
``interval $2``, ``date $1``, ``extract($1 FROM t)``. The parser that pglast brings reads those;
no server does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pglast import ast
from pglast.enums import CoercionForm
from pglast.parser import scan
from pglast.stream import RawStream

from perflab.advisor.nodes import is_a, walk
from perflab.advisor.sql import parse_one

_FIELDS = frozenset({"YEAR_P", "MONTH_P", "DAY_P", "HOUR_P", "MINUTE_P", "SECOND_P", "TO"})
"""Tokens that may follow the constant of an interval."""


def readable(text: str) -> str:
    """The same statement as servers read it; a StatementError if it is none.

    Texts that a server takes already come back as they are.
    """
    edits: list[tuple[int, int, str]] = []
    for node in walk(parse_one(text)):
        if is_a(node, ast.TypeCast) and is_a(node.arg, ast.ParamRef):
            if node.typeName.location < node.arg.location:  # CAST and :: have the type behind
                edits.append(_cast(text, node))
        elif _is_extract(node):
            edits += _extract(text, node)
    return _edited(text, edits)


def filled(text: str, values: Mapping[int, str]) -> str:
    """A statement with SQL in place of the parameters that ``values`` has."""
    numbered = (
        (t.start, t.end + 1, int(text[t.start + 1 : t.end + 1]))
        for t in scan(text)
        if t.name == "PARAM"
    )
    return _edited(text, [(at, end, values[n]) for at, end, n in numbered if n in values])


def _cast(text: str, node: Any) -> tuple[int, int, str]:
    """``interval $1 day`` as ``CAST($1 AS interval day)``."""
    tokens = scan(text)
    at = next(i for i, token in enumerate(tokens) if token.start == node.arg.location)
    end = at
    if tokens[at - 1].name == "INTERVAL" and node.typeName.typmods:
        while end + 1 < len(tokens) and tokens[end + 1].name in _FIELDS:
            end += 1
        if end + 1 < len(tokens) and tokens[end + 1].name == "ASCII_40":  # second (3)
            end += 3
    cast = f"CAST(${node.arg.number} AS {RawStream()(node.typeName)})"
    return node.typeName.location, tokens[end].end + 1, cast


def _is_extract(node: Any) -> bool:
    return bool(
        is_a(node, ast.FuncCall)
        and [part.sval for part in node.funcname] == ["pg_catalog", "extract"]
        and is_a(node.args[0], ast.ParamRef)
        and node.funcformat == CoercionForm.COERCE_SQL_SYNTAX
    )


def _extract(text: str, node: Any) -> list[tuple[int, int, str]]:
    """``extract($1 FROM t)`` as ``pg_catalog.extract($1, t)``."""
    tokens = scan(text)
    at = next(i for i, token in enumerate(tokens) if token.start == node.args[0].location)
    start, end = tokens[at + 1].start, tokens[at + 1].end + 1
    return [(node.location, node.location, "pg_catalog."), (start, end, ",")]


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    """``text`` with pieces replaced, each from one character up to another."""
    parts, at = [], 0
    for start, end, new in sorted(edits):
        parts += [text[at:start], new]
        at = end
    return "".join((*parts, text[at:]))
