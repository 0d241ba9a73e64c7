"""What the place of each ``$n`` in a statement says of the values that stand there.

Beside a column (or something computed from one table's columns) stands a value like those of the
column; where it is only part of what is compared, the comparison is solved for it. A few places
have values that are stated here. Of all others nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from pglast import ast
from pglast.enums import A_Expr_Kind
from pglast.stream import RawStream

from perflab.advisor.catalog import Catalog, TableFacts
from perflab.advisor.derived import inner_columns
from perflab.advisor.nodes import children, is_a, unqualified, walk
from perflab.advisor.solving import NEUTRAL, How, Place, Source, has, number_of, solve

_LIMIT, _OFFSET, _CONSTANT = "20", "0", "1"
"""Stated values: rows of a page, where it begins, what is handed out as it is and how many rows
a group must have;"""
_ARGUMENTS = {
    "date_trunc": (0, "'day'"),
    "date_part": (0, "'day'"),
    "extract": (0, "'day'"),
    "timezone": (0, "'UTC'"),
    "to_char": (1, "'YYYY-MM-DD'"),
    "round": (1, "2"),
    "percentile_cont": (0, "0.5"),
    "percentile_disc": (0, "0.5"),
    "string_agg": (1, "','"),
}
"""and by function, which argument is what."""
_EQUAL = frozenset({"=", "<>", "@>", "<@", "&&"})
_LOW, _HIGH = frozenset({">", ">="}), frozenset({"<", "<="})
_PAIRS = frozenset(
    {A_Expr_Kind.AEXPR_IN, A_Expr_Kind.AEXPR_DISTINCT, A_Expr_Kind.AEXPR_NOT_DISTINCT}
)
_LISTED = frozenset({A_Expr_Kind.AEXPR_OP_ANY, A_Expr_Kind.AEXPR_OP_ALL})
_BETWEEN = frozenset(
    {
        A_Expr_Kind.AEXPR_BETWEEN,
        A_Expr_Kind.AEXPR_NOT_BETWEEN,
        A_Expr_Kind.AEXPR_BETWEEN_SYM,
        A_Expr_Kind.AEXPR_NOT_BETWEEN_SYM,
    }
)
_LIKE = frozenset({A_Expr_Kind.AEXPR_LIKE, A_Expr_Kind.AEXPR_ILIKE})
_AGGREGATES = frozenset(
    {"sum", "count", "avg", "min", "max", "array_agg", "string_agg", "bool_and", "bool_or"}
)
_STATEMENTS = (ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)


def places_of(statement: Any, catalog: Catalog) -> dict[int, Place]:
    """By number, the parameters of a parsed statement whose place says something."""
    reader = _Reader(statement, catalog)
    reader.visit(statement, ())
    return reader.weak | reader.found


def cast_of(statement: Any, number: int) -> str:
    """The type that a parameter is cast to; empty where it is not."""
    for node in walk(statement):
        if is_a(node, ast.TypeCast) and is_a(node.arg, ast.ParamRef) and node.arg.number == number:
            return str(RawStream()(node.typeName))
    return ""


class _Relation(msgspec.Struct, frozen=True):
    """One FROM item."""

    number: int
    facts: TableFacts | None
    """None for what is no table of the catalogue."""
    through: dict[str, Source] = {}
    """Of a sub-select, the columns that are a table's own."""


_Scopes = tuple[Mapping[str, _Relation], ...]
"""Relations by alias, innermost level first."""


class _Reader:
    """Goes through a statement with the relations that names can mean at each level."""

    def __init__(self, statement: Any, catalog: Catalog) -> None:
        self._catalog = catalog
        self._relations = 0
        self._scope_of: dict[int, dict[str, _Relation]] = {}
        self._ctes = {n.ctename for n in walk(statement) if is_a(n, ast.CommonTableExpr)}
        self.found: dict[int, Place] = {}
        self.weak: dict[int, Place] = {}
        """Places that count where a parameter has no better one."""

    # --- levels -------------------------------------------------------------------------

    def visit(self, node: Any, scopes: _Scopes) -> None:
        """Note the parameters at and below a node."""
        if is_a(node, _STATEMENTS):
            scopes = (self._scope(node, scopes), *scopes)
            self._statement(node, scopes)
        elif is_a(node, ast.A_Expr):
            self._compare(node, scopes)
        elif is_a(node, ast.FuncCall):
            self._function(node)
        elif is_a(node, (ast.OnConflictClause, ast.MergeWhenClause)):
            self._assignments(node.targetList, scopes)
        elif is_a(node, ast.CoalesceExpr):
            self._alternatives(node.args, scopes)
        elif is_a(node, ast.CaseExpr):
            results = (*(when.result for when in node.args), node.defresult)
            self._alternatives([one for one in results if one is not None], scopes)
        for child in children(node):
            self.visit(child, scopes)

    def _scope(self, node: Any, outer: _Scopes) -> dict[str, _Relation]:
        if id(node) in self._scope_of:  # a sub-select that its outer level has looked into
            return self._scope_of[id(node)]
        scope = self._scope_of[id(node)] = dict[str, _Relation]()
        for item in _items(node):
            known, through = None, dict[str, Source]()
            if is_a(item, ast.RangeSubselect):
                inside = (self._scope(item.subquery, (scope, *outer)), scope, *outer)
                columns = inner_columns(item).items()
                found = {name: self._named(ref, inside) for name, ref in columns}
                through = {name: source for name, source in found.items() if source}
            if is_a(item, ast.RangeVar) and (item.schemaname or item.relname not in self._ctes):
                known = self._catalog.find(item.relname, item.schemaname or "")
            self._relations += 1
            scope[_alias(item)] = _Relation(self._relations, known, through)
        return scope

    def _statement(self, node: Any, scopes: _Scopes) -> None:
        if is_a(node, ast.SelectStmt):
            self._state(node.limitCount, _LIMIT)
            self._state(node.limitOffset, _OFFSET)
            for target in node.targetList or ():
                self._state(target.val, _CONSTANT, weak=True)
        elif is_a(node, ast.UpdateStmt):
            self._assignments(node.targetList, scopes)
        elif is_a(node, ast.InsertStmt):
            self._inserted(node, scopes)

    def _inserted(self, node: Any, scopes: _Scopes) -> None:
        facts = scopes[0][_alias(node.relation)].facts
        names = [target.name for target in node.cols or ()]
        if facts and not names:
            names = [column.name.strip('"') for column in facts.columns]
        for nth, row in enumerate(getattr(node.selectStmt, "valuesLists", None) or ()):
            for name, value in zip(names, row, strict=False):
                if source := self._column((_alias(node.relation), name), scopes[:1]):
                    self._note(value, Place(source, nth=nth))

    def _assignments(self, targets: Sequence[Any] | None, scopes: _Scopes) -> None:
        for target in targets or ():
            if target.name and (source := self._column((target.name,), scopes)):
                self._note(target.val, Place(source))

    # --- comparisons --------------------------------------------------------------------

    def _compare(self, node: Any, scopes: _Scopes) -> None:
        operator, left, right = node.name[-1].sval, node.lexpr, node.rexpr
        if node.kind in _BETWEEN:
            low, high = right
            self._bound(left, low, "low", scopes)
            self._bound(left, high, "high", scopes)
        elif node.kind in _LIKE:
            self._bound(left, right, "prefix", scopes)
        elif node.kind in _LISTED and operator in _EQUAL:
            self._listed(left, right, scopes)
        elif node.kind in _PAIRS or operator in _EQUAL:
            self._pair(left, right, scopes)
            self._pair(right, left, scopes)
        elif operator in _LOW | _HIGH:
            if is_a(left, ast.RowExpr):  # where a page begins: one row's values
                self._pair(left, right, scopes)
            else:
                self._bound(left, right, "low" if operator in _LOW else "high", scopes)
                self._bound(right, left, "high" if operator in _LOW else "low", scopes)
        elif operator in NEUTRAL:
            for side, other in ((left, right), (right, left)):
                if (number := number_of(other)) and (source := self._source(side, scopes)):
                    self.weak.setdefault(number, Place(source))

    def _bound(self, side: Any, other: Any, how: How, scopes: _Scopes) -> None:
        if is_a(side, ast.FuncCall) and side.funcname[-1].sval == "count":
            self._state(other, _CONSTANT)
        elif source := self._source(side, scopes):
            self._note(other, Place(source, how=how))

    def _listed(self, left: Any, right: Any, scopes: _Scopes) -> None:
        """``column = ANY($1)`` or ``$1 = ANY(column)``."""
        if source := self._source(left, scopes):
            self._note(right, Place(source, how="list" if number_of(right) else "equal"))
        elif source := self._source(right, scopes):
            self._note(left, Place(Source(source.relation, source.table, f"({source.sql})[1]")))

    def _pair(self, side: Any, other: Any, scopes: _Scopes) -> None:
        """Two sides that are equal; rows member by member, lists row by row."""
        if not is_a(side, ast.RowExpr):
            self._bound(side, other, "equal", scopes)
            return
        for nth, row in enumerate(other if is_a(other, tuple) else (other,)):
            if is_a(row, ast.RowExpr):
                for one, value in zip(side.args, row.args, strict=False):
                    if source := self._source(one, scopes):
                        self._note(value, Place(source, nth=nth))

    # --- other places -------------------------------------------------------------------

    def _function(self, node: Any) -> None:
        args = [*(node.args or ())]
        at, text = _ARGUMENTS.get(node.funcname[-1].sval, (0, ""))
        if text and at < len(args):
            self._state(args[at], text)

    def _alternatives(self, values: Sequence[Any], scopes: _Scopes) -> None:
        """Values of which one is taken are of one type."""
        source = next((one for value in values if (one := self._source(value, scopes))), None)
        for value in values:
            if source and (number := number_of(value)):
                self.weak.setdefault(number, Place(source))
            self._state(value, _CONSTANT, weak=True)

    def _state(self, node: Any, text: str, *, weak: bool = False) -> None:
        if number := number_of(node):
            (self.weak if weak else self.found).setdefault(number, Place(stated=text))

    def _note(self, node: Any, place: Place) -> None:
        for number, where in solve(node, place):
            self.found.setdefault(number, where)

    # --- names --------------------------------------------------------------------------

    def _source(self, node: Any, scopes: _Scopes) -> Source | None:
        """What a side is computed from, where that is one table's columns and nothing else."""
        if is_a(node, tuple) or has(node, ast.ParamRef, ast.SubLink):
            return None
        calls = (one for one in walk(node) if is_a(one, ast.FuncCall))
        if any(one.over or one.funcname[-1].sval in _AGGREGATES for one in calls):
            return None  # of many rows
        refs = (one for one in walk(node) if is_a(one, ast.ColumnRef))
        found = {self._named(ref, scopes) for ref in refs}
        if len({one and one.relation for one in found}) != 1:
            return None
        source = found.pop()
        if source is None or is_a(node, ast.ColumnRef):
            return source
        return Source(source.relation, source.table, unqualified(node))

    def _named(self, ref: Any, scopes: _Scopes) -> Source | None:
        if not all(is_a(field, ast.String) for field in ref.fields):
            return None
        return self._column(tuple(field.sval for field in ref.fields), scopes)

    def _column(self, names: tuple[str, ...], scopes: _Scopes) -> Source | None:
        *qualifiers, name = names
        for scope in scopes:
            for alias, relation in scope.items():
                if qualifiers and qualifiers[-1] != alias:
                    continue
                if name in relation.through:
                    return relation.through[name]
                known = relation.facts.by_column if relation.facts else {}
                for spelt in (name, f'"{name}"'):
                    if relation.facts and spelt in known:
                        type_ = known[spelt].type
                        return Source(relation.number, relation.facts.name, spelt, type_)
        return None


def _items(node: Any) -> Iterator[Any]:
    """The FROM items of a statement's own level, and what it writes to."""
    waiting: list[Any] = [getattr(node, name, None) for name in ("relation", "sourceRelation")]
    for name in ("fromClause", "usingClause"):
        waiting += getattr(node, name, None) or ()
    while waiting:
        item = waiting.pop()
        if is_a(item, ast.JoinExpr):
            waiting += [item.larg, item.rarg]
        elif is_a(item, ast.RangeTableSample):
            waiting.append(item.relation)
        elif is_a(item, ast.Node):
            yield item


def _alias(item: Any) -> str:
    alias = getattr(item, "alias", None)
    return str(alias.aliasname if alias else getattr(item, "relname", ""))
