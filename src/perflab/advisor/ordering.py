"""What the keys of an ORDER BY or GROUP BY mean."""

from __future__ import annotations

from typing import Any

from pglast import ast
from pglast.enums import SortByDir, SortByNulls

from perflab.advisor.nodes import is_a
from perflab.advisor.usage import SortKey


def key_target(node: Any, key: Any) -> Any:
    """The target that a key means by a number or an output name; else the key itself."""
    targets = node.targetList or ()
    if is_a(key, ast.A_Const) and is_a(key.val, ast.Integer):
        at = key.val.ival - 1
        return targets[at].val if 0 <= at < len(targets) else key
    if is_a(key, ast.ColumnRef) and len(key.fields) == 1:
        name = getattr(key.fields[0], "sval", None)
        return next((t.val for t in targets if t.name == name), key)
    return key


def sort_key(column: str, key: Any) -> SortKey:
    """A column in the order that ``key`` asks for; None is a key of GROUP BY."""
    if key is None:
        return SortKey(column)
    descending = key.sortby_dir == SortByDir.SORTBY_DESC
    nulls = {SortByNulls.SORTBY_NULLS_FIRST: "FIRST", SortByNulls.SORTBY_NULLS_LAST: "LAST"}.get(
        key.sortby_nulls, ""
    )
    is_default = nulls == ("FIRST" if descending else "LAST")
    return SortKey(column, descending, "" if is_default else nulls)
