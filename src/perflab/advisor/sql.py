"""Statements as PostgreSQL's own parser sees them: what kind they are, and without their values."""

from __future__ import annotations

from typing import Any

from pglast import ast, parse_sql
from pglast.parser import ParseError, scan

from perflab.advisor.errors import StatementError
from perflab.advisor.nodes import walk, walk_deep

DML = (ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)
"""Statements that have a plan."""

MAX_WORDS, MAX_DEPTH = 5_000, 120
"""Longer or deeper ones are refused: the parser would run out of stack, and end the process."""
_FLAT = frozenset({"ASCII_44"})
"""The token of a comma: lists may be long."""
_VALUES = frozenset({"SCONST", "ICONST", "FCONST", "BCONST", "XCONST", "USCONST"})
COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})
"""Tokens that say nothing to the server."""


def parse_one(text: str) -> Any:
    """The one SELECT or DML statement of ``text``; a StatementError says why it is none."""
    try:
        words = sum(token.name not in _VALUES | _FLAT | COMMENTS for token in scan(text))
        if words > MAX_WORDS:
            raise StatementError(f"has more than {MAX_WORDS:,} words")
        found = parse_sql(text)
    except ParseError as error:
        raise StatementError(f"does not parse: {_said(error)}") from None
    if not found:
        raise StatementError("is empty")
    if len(found) > 1:
        raise StatementError(f"is {len(found)} statements; give them one by one")
    statement = found[0].stmt
    if not isinstance(statement, DML):
        kind = type(statement).__name__.removesuffix("Stmt")
        raise StatementError(f"is no SELECT, INSERT, UPDATE, DELETE or MERGE ({kind})")
    if isinstance(statement, ast.SelectStmt) and statement.intoClause is not None:
        raise StatementError("is SELECT INTO, which makes a table")
    if any(depth > MAX_DEPTH for _node, depth in walk_deep(statement)):
        raise StatementError("is nested too deeply")
    return statement


def tables_of(text: str) -> frozenset[tuple[str, str]]:
    """Schema (or nothing) and name of every table that a statement names, those of CTEs too."""
    return frozenset(
        (node.schemaname or "", node.relname or "")
        for node in walk(parse_one(text))
        if isinstance(node, ast.RangeVar)
    )


def redacted(text: str) -> str:
    """``text`` on one line with every literal as ``?`` and without comments.

    Literals may be personal data, and so may what a framework writes into comments. What cannot
    even be cut into words is not shown at all.
    """
    try:
        tokens = scan(text)
    except ParseError:
        return "(a statement that does not parse)"
    parts, at = [], 0
    for token in tokens:  # whose places are counted in characters
        parts.append(text[at : token.start])
        if token.name in _VALUES:
            parts.append("?")
        elif token.name not in COMMENTS:
            parts.append(text[token.start : token.end + 1])
        at = token.end + 1
    return " ".join("".join(parts).split())


def parameters(text: str) -> int:
    """How many ``$n`` a statement takes: the highest n."""
    return max(
        (int(text[t.start + 1 : t.end + 1]) for t in scan(text) if t.name == "PARAM"),
        default=0,
    )


def _said(error: ParseError) -> str:
    """The parser's words without what they quote of the statement."""
    text = str(error.args[0])
    return text.partition(' at or near "')[0]
