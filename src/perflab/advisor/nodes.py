"""Questions about nodes of a parsed statement that are asked in more than one place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pglast import ast, parse_sql
from pglast.stream import RawStream
from pglast.visitors import Visitor


def is_a(node: Any, kind: type | tuple[type, ...]) -> bool:
    """``isinstance`` without narrowing: to pglast every field is optional, to the grammar not."""
    return isinstance(node, kind)


class _Strip(Visitor):
    """Leaves the last word of every column's name."""

    def visit_ColumnRef(self, _ancestors: Any, ref: Any) -> Any:  # noqa: N802 - pglast's name
        return ast.ColumnRef(fields=ref.fields[-1:])


def unqualified(node: Any) -> str:
    """A node as SQL, its columns without their tables, as an index writes them."""
    copied: Any = parse_sql(f"SELECT {RawStream()(node)}")[0].stmt  # stripping changes it in place
    _Strip()(copied)
    return str(RawStream()(copied.targetList[0].val))


def constant(node: Any) -> str | None:
    """The text of a constant, whatever it is cast to; None for everything else."""
    while is_a(node, ast.TypeCast):
        node = node.arg
    if not is_a(node, ast.A_Const) or node.isnull:
        return None
    value = node.val
    if is_a(value, ast.Boolean):
        return "t" if value.boolval else "f"
    return str(
        next(
            getattr(value, name)
            for name in ("sval", "ival", "fval", "bsval")
            if hasattr(value, name)
        )
    )


def children(node: Any) -> Iterator[Any]:
    """The nodes right below a node."""
    if is_a(node, tuple):
        yield from (item for item in node if is_a(item, (ast.Node, tuple)))
    elif is_a(node, ast.Node):
        for name in node:
            value = getattr(node, name)
            if is_a(value, (ast.Node, tuple)):
                yield value


def walk(node: Any) -> Iterator[Any]:
    """A node and everything below it."""
    yield from (found for found, _depth in walk_deep(node))


def walk_deep(node: Any) -> Iterator[tuple[Any, int]]:
    """The same with how deep each is, from 0; however deep that is."""
    waiting = [] if node is None else [(node, 0)]
    while waiting:
        found, depth = waiting.pop()
        yield found, depth
        waiting.extend((child, depth + 1) for child in reversed([*children(found)]))
