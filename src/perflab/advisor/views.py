"""Views written out: a statement that reads a view reads the tables behind it.

PostgreSQL itself puts a view's query in the place of its name (its manual, "The Rule System").
Done here as well, the parser sees the conditions that lie inside, and a copy needs no view.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg
from pglast import ast
from psycopg.rows import dict_row

from perflab.advisor.errors import StatementError
from perflab.advisor.nodes import is_a, walk
from perflab.advisor.sql import parse_one
from perflab.advisor.workload import MAX_STATEMENT_BYTES, Statement, check_functions

MOST_LEVELS: Final = 20
"""Of views that read views."""
_WORD: Final = r'(?:"(?:[^"]|"")*"|[^\W\d][\w$]*)'
_NAME: Final = re.compile(rf"{_WORD}(?:\s*\.\s*{_WORD})*")


class View(msgspec.Struct, frozen=True):
    """One view, with names as statements may write them, unquoted."""

    schema: str
    bare: str
    alias: str
    """The name alone, quoted where SQL needs it."""
    on_path: bool
    """Whether the name alone leads to it."""
    definition: str
    """Its query; every table in it has its schema."""


def read_views(conn: psycopg.Connection) -> tuple[View, ...]:
    """The views of the connected database, but those of the system and of extensions."""
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SELECT current_schemas(true) AS path")
        row = cursor.fetchone()
        cursor.execute("SET LOCAL search_path = ''")  # so that every table has its schema
        found = cursor.execute(_VIEWS, [row["path"] if row else []]).fetchall()
    return tuple(msgspec.convert(one, View) for one in found)


def written_out(statements: Sequence[Statement], views: Sequence[View]) -> tuple[Statement, ...]:
    """The statements with the queries of views in place of their names.

    One stays as it is where that cannot be done: a view that is written to, that is read ``ONLY``,
    that calls what a workload may not, or that makes the statement too long.
    """
    if not views:
        return tuple(statements)
    found = _Views(views)
    return tuple(
        msgspec.structs.replace(
            one,
            text=found.write_out(one.text),
            examples=tuple(map(found.write_out, one.examples)),
        )
        for one in statements
    )


class _Views:
    def __init__(self, views: Sequence[View]) -> None:
        self._full: Mapping[tuple[str, str], View] = {(v.schema, v.bare): v for v in views}
        self._short: Mapping[str, View] = {v.bare: v for v in views if v.on_path}

    def write_out(self, text: str) -> str:
        """The text without names of views; itself where one must stay."""
        try:
            written = self._deeply(text)
            if written != text:
                check_functions(parse_one(written))
        except StatementError:
            return text
        return written

    def _deeply(self, text: str) -> str:
        for _ in range(MOST_LEVELS):
            reads = self._reads(parse_one(text))
            if not reads:
                return text
            for node, view in sorted(reads, key=lambda read: -read[0].location):
                text = _replaced(text, node, view)
            if len(text.encode()) > MAX_STATEMENT_BYTES:
                raise StatementError("is too long with its views written out")
        raise StatementError("reads views of views without end")

    def _reads(self, statement: Any) -> list[tuple[Any, View]]:
        """Where views are read."""
        nodes = list(walk(statement))
        ctes = {node.ctename for node in nodes if is_a(node, ast.CommonTableExpr)}
        written = {
            id(node.relation)
            for node in nodes
            if is_a(node, (ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt))
        }
        found = []
        for node in nodes:
            if not is_a(node, ast.RangeVar):
                continue
            if node.schemaname:
                view = self._full.get((node.schemaname, node.relname))
            else:
                view = None if node.relname in ctes else self._short.get(node.relname)
            if view is not None:
                if id(node) in written or not node.inh:
                    raise StatementError(f"writes to the view {view.alias}, or reads ONLY it")
                found.append((node, view))
        return found


def _replaced(text: str, node: Any, view: View) -> str:
    """The text with the view's query where the node names it."""
    name = _NAME.match(text, node.location)
    if name is None:
        raise StatementError(f"names the view {view.alias} in a way that is not understood")
    alias = "" if node.alias else f" AS {view.alias}"
    return f"{text[: node.location]}({view.definition}){alias}{text[name.end() :]}"


_VIEWS: Final = """
    SELECT n.nspname::text AS schema, c.relname::text AS bare, quote_ident(c.relname) AS alias,
           n.nspname = (SELECT p.s FROM unnest(%s::text[]) WITH ORDINALITY p(s, n)
                        JOIN pg_namespace m ON m.nspname = p.s
                        JOIN pg_class x ON x.relnamespace = m.oid AND x.relname = c.relname
                        ORDER BY p.n LIMIT 1) IS TRUE AS on_path,
           rtrim(pg_get_viewdef(c.oid), '; ') AS definition
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'v' AND n.nspname !~ '^(pg_|information_schema$)'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2
"""
