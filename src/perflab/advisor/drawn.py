"""Values for statements that a server's statistics keep without: drawn from a copy's own rows.

Only where the place of every ``$n`` says what its values are like: compared with a column by =,
IN or = ANY, assigned to a column, or a LIMIT or OFFSET. How wide a range is, nothing says, and a
range drawn by chance would be wider than any that is asked for: such statements stay as they are.
Parameters of one table come from one row, so that they fit together. Values stay in the copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import psycopg
from pglast import ast
from pglast.enums import A_Expr_Kind
from pglast.parser import scan
from psycopg import sql

from perflab.advisor.catalog import Catalog, TableFacts
from perflab.advisor.nodes import is_a, walk
from perflab.advisor.sql import parameters, parse_one
from perflab.advisor.workload import Statement

_EQUAL = frozenset({A_Expr_Kind.AEXPR_OP, A_Expr_Kind.AEXPR_IN, A_Expr_Kind.AEXPR_OP_ANY})
_LIMIT, _OFFSET = "20", "0"
_PLACES = 200
"""So many places of a table are looked at for rows without NULL in the columns asked for."""


class _Place(msgspec.Struct, frozen=True):
    """Where a parameter stands."""

    table: str = ""
    column: str = ""
    literal: str = ""
    """What stands there in every example; empty where a column gives the value."""
    listed: bool = False
    """Whether an array is asked for."""


def with_values(
    conn: psycopg.Connection,
    statement: Statement,
    catalog: Catalog,
    rng: np.random.Generator,
    examples: int,
) -> Statement:
    """The statement with examples, or as it is where they cannot be drawn.

    ``conn`` leads to the copy and reads rows of it.
    """
    count = parameters(statement.text)
    if not count or statement.examples:
        return statement
    places = _places(parse_one(statement.text), catalog)
    if set(places) != set(range(1, count + 1)):
        return statement
    wanted: dict[str, list[str]] = {}
    for place in places.values():
        if place.column and place.column not in wanted.setdefault(place.table, []):
            wanted[place.table].append(place.column)
    rows = {t: _rows(conn, catalog.by_name[t], columns, rng) for t, columns in wanted.items()}
    if not all(rows.values()):
        return statement
    texts = []
    for _ in range(examples):
        row = {table: found[int(rng.integers(len(found)))] for table, found in rows.items()}
        values = {n: _literal(conn, place, row, catalog) for n, place in places.items()}
        texts.append(_filled(statement.text, values))
    return msgspec.structs.replace(statement, examples=tuple(dict.fromkeys(texts)))


def _places(statement: Any, catalog: Catalog) -> dict[int, _Place]:
    """By number, the parameters whose place says something of their values."""
    tables = _tables(statement, catalog)
    found: dict[int, _Place] = {}
    for node in walk(statement):
        if is_a(node, ast.A_Expr) and node.kind in _EQUAL and node.name[-1].sval == "=":
            for side, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
                if place := _column(side, tables):
                    listed = node.kind == A_Expr_Kind.AEXPR_OP_ANY
                    others = other if is_a(other, tuple) else (other,)
                    for one in filter(None, map(_number, others)):
                        found[one] = msgspec.structs.replace(place, listed=listed)
        elif is_a(node, ast.UpdateStmt):
            for target in node.targetList:
                table = tables.get(_alias(node.relation))
                number = _number(target.val)
                name = _spelt(target.name, table) if table else None
                if table and number and name:
                    found[number] = _Place(table.name, name)
        elif is_a(node, ast.SelectStmt):
            for bound, literal in ((node.limitCount, _LIMIT), (node.limitOffset, _OFFSET)):
                if number := _number(bound):
                    found[number] = _Place(literal=literal)
    return found


def _tables(statement: Any, catalog: Catalog) -> dict[str, TableFacts]:
    """By alias, what the statement reads; names that mean two things are left out."""
    found: dict[str, TableFacts | None] = {}
    for node in walk(statement):
        if is_a(node, ast.RangeVar):
            table, alias = catalog.find(node.relname, node.schemaname or ""), _alias(node)
            found[alias] = table if found.get(alias, table) is table else None
    return {alias: table for alias, table in found.items() if table}


def _alias(relation: Any) -> str:
    return str(relation.alias.aliasname if relation.alias else relation.relname)


def _column(node: Any, tables: Mapping[str, TableFacts]) -> _Place | None:
    """The one table's column that a name means."""
    if not is_a(node, ast.ColumnRef) or not all(is_a(f, ast.String) for f in node.fields):
        return None
    *qualifiers, name = (field.sval for field in node.fields)
    among = [tables.get(qualifiers[-1])] if qualifiers else list(tables.values())
    found = {(t.name, spelt) for t in among if t and (spelt := _spelt(name, t))}
    return _Place(*found.pop()) if len(found) == 1 else None


def _spelt(name: str, table: TableFacts) -> str | None:
    """A column as the catalogue spells it."""
    return next((one for one in (name, f'"{name}"') if one in table.by_column), None)


def _number(node: Any) -> int | None:
    """The number of a parameter, whatever it is cast to."""
    while is_a(node, ast.TypeCast):
        node = node.arg
    return int(node.number) if is_a(node, ast.ParamRef) else None


def _rows(
    conn: psycopg.Connection, table: TableFacts, columns: Sequence[str], rng: np.random.Generator
) -> list[dict[str, str]]:
    """Some rows of a table as text."""
    pages = rng.integers(max(1, table.pages), size=_PLACES)
    each = max(1, round(table.rows / max(1, table.pages)))
    places = [f"({page},{1 + rng.integers(each)})" for page in pages]
    names = sql.SQL(", ").join(sql.SQL(f"{name}::text") for name in columns)
    known = sql.SQL(" AND ").join(sql.SQL(f"{name} IS NOT NULL") for name in columns)
    text = sql.SQL("SELECT {} FROM {} WHERE ctid = ANY(%s::tid[]) AND {}")
    found = conn.execute(text.format(names, sql.SQL(table.name), known), [places]).fetchall()
    return [dict(zip(columns, row, strict=True)) for row in found]


def _literal(
    conn: psycopg.Connection,
    place: _Place,
    row: Mapping[str, Mapping[str, str]],
    catalog: Catalog,
) -> str:
    if place.literal:
        return place.literal
    kind = catalog.by_name[place.table].by_column[place.column].type
    kind = "bpchar" if kind == "character" else kind  # which would be one character
    value = f"{sql.Literal(row[place.table][place.column]).as_string(conn)}::{kind}"
    return f"ARRAY[{value}]" if place.listed else value


def _filled(text: str, values: Mapping[int, str]) -> str:
    """A statement with its parameters replaced."""
    data, parts, at = text.encode(), [], 0
    for token in scan(text):
        if token.name == "PARAM":
            number = int(data[token.start + 1 : token.end + 1])
            parts += [data[at : token.start].decode(), values[number]]
            at = token.end + 1
    return "".join((*parts, data[at:].decode()))
