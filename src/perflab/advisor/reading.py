"""Reads a statement level by level and notes what it asks of each table.

Every level (sub-selects, CTEs, LATERAL) is looked at by itself; a column of an outer level is a
known value to an inner one.
"""

from __future__ import annotations

from typing import Any

from pglast import ast
from pglast.enums import (
    A_Expr_Kind,
    BoolExprType,
    NullTestType,
    SubLinkType,
)

from perflab.advisor.catalog import Catalog, TableFacts
from perflab.advisor.derived import inner_columns
from perflab.advisor.nodes import children, constant, is_a, unqualified, walk
from perflab.advisor.ordering import key_target, sort_key
from perflab.advisor.usage import Contains, Expression, Fixed, TableUse

_RANGES = frozenset({"<", ">", "<=", ">="})
_CONTAINS = frozenset({"@>", "<@", "&&", "?", "?|", "?&", "@@", "@?"})
_BETWEEN = frozenset({A_Expr_Kind.AEXPR_BETWEEN, A_Expr_Kind.AEXPR_BETWEEN_SYM})
_LIKES = frozenset({A_Expr_Kind.AEXPR_LIKE, A_Expr_Kind.AEXPR_ILIKE})


def uses_of(statement: Any, catalog: Catalog) -> tuple[TableUse, ...]:
    """The uses of every table of the catalogue in a parsed statement, in order of appearance."""
    found: list[_Use] = []
    _Level(catalog, None, frozenset(), found).read(statement)
    return tuple(use.frozen() for use in found)


class _Use:
    """A TableUse in the making."""

    def __init__(self, facts: TableFacts | None) -> None:
        self.facts = facts
        self.table = facts.name if facts else ""
        self.parts: dict[str, list[Any]] = {}
        self.whole = False
        self.through: dict[str, tuple[_Use, str]] = {}
        """Of a sub-select, the columns that are a table's own."""

    def add(self, part: str, value: Any) -> None:
        values = self.parts.setdefault(part, [])
        if value not in values:
            values.append(value)

    def frozen(self) -> TableUse:
        parts = {name: tuple(values) for name, values in self.parts.items()}
        return TableUse(self.table, whole=self.whole, **parts)


class _Level:
    """One SELECT, UPDATE or DELETE with the relations that its column names can mean."""

    def __init__(
        self, catalog: Catalog, outer: _Level | None, ctes: frozenset[str], found: list[_Use]
    ) -> None:
        self._catalog, self._outer, self._ctes, self._found = catalog, outer, ctes, found
        self._relations: dict[str, _Use] = {}
        self._read_already: set[int] = set()

    # --- levels -------------------------------------------------------------------------

    def read(self, node: Any) -> None:
        """Read a statement."""
        if getattr(node, "withClause", None):
            for cte in node.withClause.ctes:
                self._inner(self._ctes).read(cte.ctequery)
                self._ctes |= {cte.ctename}
        if is_a(node, ast.InsertStmt):
            if node.selectStmt is not None:
                self._inner(self._ctes).read(node.selectStmt)
            return
        if is_a(node, ast.SelectStmt) and node.larg is not None:
            for side in (node.larg, node.rarg):
                self._inner(self._ctes).read(side)
            return
        conditions: list[Any] = []
        if is_a(node, ast.MergeStmt):
            sources: tuple[Any, ...] = (node.relation, node.sourceRelation)
            conditions.append(node.joinCondition)
        else:
            sources = (
                *((node.relation,) if hasattr(node, "relation") else ()),
                *(getattr(node, "fromClause", None) or ()),
                *(getattr(node, "usingClause", None) or ()),
            )
        for source in sources:
            self._source(source, conditions)
        if getattr(node, "whereClause", None) is not None:
            conditions.append(node.whereClause)
        self._columns(node)
        for condition in conditions:
            self._condition(condition)
        if is_a(node, ast.SelectStmt):
            self._order(node)

    def _inner(self, ctes: frozenset[str]) -> _Level:
        return _Level(self._catalog, self, ctes, self._found)

    def _source(self, node: Any, conditions: list[Any]) -> None:
        if is_a(node, ast.RangeVar):
            is_cte = not node.schemaname and node.relname in self._ctes
            facts = None if is_cte else self._catalog.find(node.relname, node.schemaname or "")
            use = _Use(facts)
            self._relations[node.alias.aliasname if node.alias else node.relname] = use
            if facts is not None:
                self._found.append(use)
        elif is_a(node, ast.JoinExpr):
            self._source(node.larg, conditions)
            self._source(node.rarg, conditions)
            if node.quals is not None:
                conditions.append(node.quals)
            for name in node.usingClause or ():
                for use in self._relations.values():
                    if use.facts and name.sval in use.facts.by_column:
                        use.add("joined", name.sval)
        elif getattr(node, "alias", None):
            self._relations[node.alias.aliasname] = use = _Use(None)
            if is_a(node, ast.RangeSubselect):
                inner = self._inner(self._ctes)
                inner.read(node.subquery)
                self._read_already.add(id(node.subquery))
                columns = inner_columns(node)
                found = {name: inner._resolve(ref) for name, ref in columns.items()}
                use.through = {name: column for name, column in found.items() if column}

    def _columns(self, node: Any) -> None:
        """Note every column that this level reads, and read the levels inside it."""
        for child in children(node):
            if is_a(child, ast.WithClause):
                continue
            if is_a(child, ast.SelectStmt):
                if id(child) not in self._read_already:
                    self._inner(self._ctes).read(child)
            elif is_a(child, ast.ColumnRef):
                if is_a(child.fields[-1], ast.A_Star):
                    self._star(child)
                elif found := self._resolve(child):
                    found[0].add("columns", found[1])
            else:
                self._columns(child)

    def _star(self, node: Any) -> None:
        names = [field.sval for field in node.fields[:-1]]
        for alias, use in self._relations.items():
            if not names or names[-1] == alias:
                use.whole = True

    def _resolve(self, node: Any) -> tuple[_Use, str] | None:
        """The relation and column that a name means; None for what is of no table."""
        if not all(is_a(field, ast.String) for field in node.fields):
            return None
        *qualifiers, column = (field.sval for field in node.fields)
        level: _Level | None = self
        while level is not None:
            for alias, use in level._relations.items():
                if qualifiers and qualifiers[-1] != alias:
                    continue
                if column in use.through:
                    return use.through[column]
                known = use.facts.by_column if use.facts else {}
                for name in (column, f'"{column}"'):
                    if name in known:
                        return use, name
            level = level._outer
        return None

    # --- conditions ---------------------------------------------------------------------

    def _condition(self, node: Any, *, part_of_or: bool = False) -> None:
        if is_a(node, ast.BoolExpr):
            is_or = node.boolop == BoolExprType.OR_EXPR
            if node.boolop == BoolExprType.NOT_EXPR:
                if is_a(node.args[0], ast.ColumnRef) and not part_of_or:
                    self._fix(node.args[0], node)
                return
            for arm in node.args:
                self._condition(arm, part_of_or=part_of_or or is_or)
        elif is_a(node, ast.SubLink):
            if node.subLinkType == SubLinkType.ANY_SUBLINK and node.testexpr is not None:
                self._equate(node.testexpr, node.subselect, "either" if part_of_or else "joined")
        elif is_a(node, ast.A_Expr):
            self._compare(node, part_of_or)
        elif part_of_or:
            return
        elif is_a(node, ast.ColumnRef):
            self._fix(node, node)
        elif is_a(node, ast.NullTest):
            self._fix(node.arg, node, null=node.nulltesttype == NullTestType.IS_NULL)
        elif is_a(node, ast.BooleanTest):
            self._fix(node.arg, node)

    def _fix(self, side: Any, node: Any, *, null: bool | None = None) -> None:
        if is_a(side, ast.ColumnRef) and (found := self._resolve(side)):
            use, column = found
            use.add("fixed", Fixed(column, unqualified(node), null=null))

    def _compare(self, node: Any, part_of_or: bool) -> None:
        operator = node.name[-1].sval
        if node.kind in _LIKES:
            self._like(node, part_of_or)
        elif node.kind in _BETWEEN:
            self._range(node.lexpr, node.rexpr, part_of_or)
        elif operator == "=" and node.kind in (
            A_Expr_Kind.AEXPR_OP,
            A_Expr_Kind.AEXPR_IN,
            A_Expr_Kind.AEXPR_OP_ANY,
        ):
            part = "either" if part_of_or else "equal"
            self._equate(node.lexpr, node.rexpr, part)
            if node.kind == A_Expr_Kind.AEXPR_OP:
                self._equate(node.rexpr, node.lexpr, part)
            if not part_of_or:
                self._constant(node)
        elif node.kind != A_Expr_Kind.AEXPR_OP:
            return
        elif operator in _RANGES:
            self._range(node.lexpr, node.rexpr, part_of_or)
            self._range(node.rexpr, node.lexpr, part_of_or)
        elif operator in _CONTAINS:
            for side, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
                if is_a(side, ast.ColumnRef) and (found := self._resolve(side)):
                    if found[0] not in self._relations_in(other):
                        found[0].add("contains", Contains(found[1], operator))
                    break

    def _equate(self, side: Any, other: Any, part: str) -> None:
        if is_a(side, ast.RowExpr):
            others = other.args if is_a(other, ast.RowExpr) else [other] * len(side.args)
            for one, its_other in zip(side.args, others, strict=False):
                self._equate(one, its_other, part)
            return
        relations = self._relations_in(other)
        if is_a(side, ast.ColumnRef):
            found = self._resolve(side)
            if found and found[0] not in relations:
                is_join = part == "equal" and bool(relations)
                found[0].add("joined" if is_join else part, found[1])
        elif part != "either":
            self._expression(side, relations, "equal")

    def _constant(self, node: Any) -> None:
        """``column = constant`` and ``column IN (constants)`` can be conditions of an index."""
        side, other = node.lexpr, node.rexpr
        if not is_a(side, ast.ColumnRef):
            side, other = other, side
        if not is_a(side, ast.ColumnRef) or node.kind == A_Expr_Kind.AEXPR_OP_ANY:
            return
        values = [constant(value) for value in (other if is_a(other, tuple) else (other,))]
        found = self._resolve(side)
        if found and all(value is not None for value in values):
            texts = tuple(str(value) for value in values)
            found[0].add("fixed", Fixed(found[1], unqualified(node), values=texts))

    def _range(self, side: Any, other: Any, part_of_or: bool) -> None:
        if part_of_or:
            return
        if is_a(side, ast.RowExpr):  # (a, b) > (x, y) is a range of a
            side, other = side.args[0], other
        relations = self._relations_in(other)
        if is_a(side, ast.ColumnRef):
            found = self._resolve(side)
            if found and found[0] not in relations:
                found[0].add("ranges", found[1])
        else:
            self._expression(side, relations, "range")

    def _like(self, node: Any, part_of_or: bool) -> None:
        pattern = constant(node.rexpr)
        anchored = node.kind == A_Expr_Kind.AEXPR_LIKE and not (pattern or "x").startswith(
            ("%", "_")
        )
        if part_of_or:
            return
        if is_a(node.lexpr, ast.ColumnRef):
            found = self._resolve(node.lexpr)
            if found and anchored:
                found[0].add("prefixes", found[1])
            elif found:
                found[0].add("contains", Contains(found[1], "~~"))
        elif anchored:
            self._expression(node.lexpr, self._relations_in(node.rexpr), "prefix")

    def _expression(self, side: Any, others: list[_Use], how: str) -> None:
        """Something computed from one table's columns, compared with what is not of that table."""
        relations = self._relations_in(side)
        if len(relations) != 1 or relations[0] in others or relations[0].facts is None:
            return
        text = unqualified(side)
        if "$" in text or any(is_a(n, (ast.SubLink, ast.SelectStmt)) for n in walk(side)):
            return
        key = text if is_a(side, ast.FuncCall) else f"({text})"
        relations[0].add("expressions", Expression(key, how))

    def _relations_in(self, node: Any) -> list[_Use]:
        found = (self._resolve(n) for n in walk(node) if is_a(n, ast.ColumnRef))
        return list({id(pair[0]): pair[0] for pair in found if pair}.values())

    # --- order --------------------------------------------------------------------------

    def _order(self, node: Any) -> None:
        if node.sortClause:
            wanted = [(key.node, key) for key in node.sortClause]
        else:
            wanted = [(key, None) for key in node.groupClause or node.distinctClause or ()]
        first: _Use | None = None
        for target, key in wanted:
            column = (
                self._resolve(target)
                if is_a(target := key_target(node, target), ast.ColumnRef)
                else None
            )
            if column is None or (first is not None and column[0] is not first):
                return
            first = column[0]
            first.add("order", sort_key(column[1], key))
