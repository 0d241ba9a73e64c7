"""What a parameter must be for an expression that it stands in to have a wanted value.

``created > now() - $1`` is given a value for its right side; then ``$1`` is ``now()`` less it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec.structs import replace
from pglast import ast
from pglast.stream import RawStream

from perflab.advisor.nodes import is_a, walk

How = Literal["equal", "low", "high", "prefix", "list", "members"]
"""Like a row's value, the lower or upper end of a range, how a text begins, an array of values, or
several values with commas."""

NEUTRAL = {"+": "'0'", "-": "'0'", "*": "'1'", "/": "'1'", "||": "''"}
"""By operator, what changes nothing on its right."""
_INVERSE = {
    ("+", "right"): "{value} - {known}",
    ("+", "left"): "{value} - {known}",
    ("-", "right"): "{known} - {value}",
    ("-", "left"): "{value} + {known}",
}
"""By operator and the side that is asked for, what that is."""
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})
_CASES = frozenset({"lower", "upper"})


class Source(msgspec.Struct, frozen=True):
    """What values are drawn from."""

    relation: int
    """Number of the FROM item; values of one item come from one row."""
    table: str
    sql: str
    """Over the table's columns."""
    type: str = ""
    """Of a column; empty for what is computed."""


class Place(msgspec.Struct, frozen=True):
    """Where one parameter stands."""

    source: Source | None = None
    stated: str = ""
    """SQL that stands there in every example, where there is no source."""
    how: How = "equal"
    solved: str = "{}"
    """SQL of the parameter, with the drawn value for ``{}``."""
    nth: int = 0
    """Each member of a list comes from another row."""
    type: str = ""
    """What the planner has to be told that it is; empty where it can tell."""


def solve(node: Any, place: Place) -> Iterator[tuple[int, Place]]:
    """The parameters of ``node``, which as a whole stands where ``place`` says; not always all."""
    if number := number_of(node):
        yield number, place
    elif is_a(node, (tuple, ast.A_ArrayExpr)):
        for nth, member in enumerate(node if is_a(node, tuple) else node.elements or ()):
            yield from solve(member, replace(place, nth=nth))
    elif is_a(node, ast.TypeCast):
        yield from solve(node.arg, place)
    elif is_a(node, ast.FuncCall) and node.funcname[-1].sval in _CASES:
        yield from solve(node.args[0], place)
    elif is_a(node, ast.A_Expr) and node.name[-1].sval in NEUTRAL and node.lexpr:
        yield from _operands(node, _told(node, place))


def number_of(node: Any) -> int | None:
    """The number of a parameter, whatever it is cast to; None for everything else."""
    while is_a(node, ast.TypeCast):
        node = node.arg
    return int(node.number) if is_a(node, ast.ParamRef) else None


def has(node: Any, *kinds: type) -> bool:
    """Whether there is a node of such a kind at or below ``node``."""
    return any(is_a(found, kinds) for found in walk(node))


def _operands(node: Any, place: Place) -> Iterator[tuple[int, Place]]:
    operator, left, right = node.name[-1].sval, node.lexpr, node.rexpr
    if has(left, ast.ParamRef) and has(right, ast.ParamRef):
        unknown, neutral = left, right
        # an interval changes a time, a number changes an interval
        if (operator == "+" and _is_interval(left)) or (operator == "*" and _is_interval(right)):
            unknown, neutral = right, left
        if number := number_of(neutral):
            yield number, Place(stated=NEUTRAL[operator], type=place.type)
            yield from solve(unknown, place)
        return
    side = "right" if has(right, ast.ParamRef) else "left"
    unknown, known = (right, left) if side == "right" else (left, right)
    inverse = _INVERSE.get((operator, side))
    if inverse and not has(known, ast.ColumnRef, ast.SubLink):
        text = inverse.format(value=place.solved, known=f"({_escaped(known)})")
        yield from solve(unknown, replace(place, solved=f"({text})"))


def _told(node: Any, place: Place) -> Place:
    """With the type of its operands, where nothing but a column of numbers says it."""
    bare = not has(node, ast.TypeCast, ast.FuncCall, ast.ColumnRef, ast.A_Const, ast.SubLink)
    is_number = place.source is not None and place.source.type in _NUMBERS
    return replace(place, type=place.source.type) if bare and is_number and place.source else place


def _is_interval(node: Any) -> bool:
    return bool(is_a(node, ast.TypeCast) and node.typeName.names[-1].sval == "interval")


def _escaped(node: Any) -> str:
    """A node as SQL to be put into a template."""
    return str(RawStream()(node)).replace("{", "{{").replace("}", "}}")
