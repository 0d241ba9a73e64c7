"""Which columns of a sub-select in FROM are columns of a table inside it, as PostgreSQL sees them.

PostgreSQL merges a plain sub-select (and so a view) with the query around it, and takes what is
asked of a grouped or distinct one inside where that changes no group ("pull-up" and "push-down",
src/backend/optimizer/README). So a condition on such a column is one on the table's own.
"""

from __future__ import annotations

from typing import Any

from pglast import ast
from pglast.enums import SetOperation

from perflab.advisor.nodes import is_a, walk


def inner_columns(item: Any) -> dict[str, Any]:
    """By output name, the ColumnRef inside a RangeSubselect that a condition reaches."""
    select = item.subquery
    if not is_a(select, ast.SelectStmt) or select.op != SetOperation.SETOP_NONE:
        return {}
    if select.limitCount or select.limitOffset or select.valuesLists or select.withClause:
        return {}  # what comes out depends on more than the row, or names mean something else
    if any(is_a(node, ast.FuncCall) and node.over for node in walk(select.targetList)):
        return {}
    distinct = select.distinctClause or ()
    if any(is_a(key, ast.Node) for key in distinct):  # DISTINCT ON
        return {}
    renamed = [name.sval for name in item.alias.colnames or ()] if item.alias else []
    found = {}
    for place, target in enumerate(select.targetList or ()):
        if not is_a(target.val, ast.ColumnRef) or is_a(target.val.fields[-1], ast.A_Star):
            if is_a(target.val, ast.ColumnRef):
                renamed = []  # behind a star nobody knows which name is whose
            continue
        if select.groupClause and not _groups(select.groupClause, place, target):
            continue
        name = target.name or target.val.fields[-1].sval
        found[renamed[place] if place < len(renamed) else name] = target.val
    return found


def _groups(keys: Any, place: int, target: Any) -> bool:
    """Whether a target is one of the plain keys of a GROUP BY."""
    for key in keys:
        if is_a(key, ast.A_Const) and getattr(key.val, "ival", None) == place + 1:
            return True
        if is_a(key, ast.ColumnRef):
            words = [field.sval for field in key.fields if is_a(field, ast.String)]
            whole = [field.sval for field in target.val.fields]
            if words in (whole, whole[-1:], [target.name]):
                return True
    return False
