"""Arithmetic over claims: ``api.auth.rps / load.auth.users * 60``, and nothing else."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class ExpressionError(ValueError):
    """An expression is no arithmetic over known names."""


def evaluate(text: str, values: Mapping[str, float]) -> float:
    """The expression's value; names with dots are looked up in ``values``.

    Raises an ExpressionError for other syntax, an unknown name or a result that is not finite.
    """
    try:
        result = _value(_parse(text), values)
    except (ZeroDivisionError, OverflowError):
        raise ExpressionError(f"{text!r} divides by zero or overflows") from None
    if not math.isfinite(result):
        raise ExpressionError(f"{text!r} is not finite")
    return result


def names_in(text: str) -> tuple[str, ...]:
    """The names in the order of their first use."""
    found: list[str] = []
    _collect(_parse(text), found)
    return tuple(dict.fromkeys(found))


def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"{text!r} is no arithmetic expression") from None


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _BINARY[type(node.op)](_value(node.left, values), _value(node.right, values))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, values)
    # bool is an int to Python but no figure
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return float(node.value)  # type: ignore[arg-type]  # narrowed by the line above
    if (name := _dotted(node)) is not None:
        if name not in values:
            raise ExpressionError(f"{name!r} is not the id of a claim in this file")
        return values[name]
    raise ExpressionError(f"{ast.unparse(node)!r}: only numbers, claim ids, + - * / and brackets")


def _collect(node: ast.expr, found: list[str]) -> None:
    if (name := _dotted(node)) is not None:
        found.append(name)
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            _collect(child, found)


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else None
    return None
