"""Statements as an experiment times them: read as they are, writes rolled back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
from pglast import ast
from psycopg import sql

from perflab.advisor.errors import said
from perflab.advisor.sql import parameters, parse_one
from perflab.advisor.workload import Statement
from perflab.database.session import Session
from perflab.measure.experiment import Draw, Drawn, Params

MOST_ROWS, MOST_BYTES = 100_000, 64 * 2**20
"""A statement that returns more would measure how long it takes to read that."""


@dataclass(frozen=True)
class Timed:
    """One statement, how its parameters are drawn and what runs it."""

    name: str
    calls: float
    draw: Callable[[np.random.Generator], Drawn]
    run: Callable[[Session, Params], int]


def timed_query(
    name: str, calls: float, text: str, draw: Callable[[np.random.Generator], Drawn]
) -> Timed:
    """A SELECT with ``%(name)s`` placeholders, prepared once."""
    return Timed(name, calls, draw, lambda session, params: session.run(text, params))


def timed_statement(statement: Statement) -> Timed | None:
    """A statement of a file, its examples in turn; None where values are missing (``$n``)."""
    if any(parameters(text) for text in statement.planned):
        return None
    texts = [text.replace("%", "%%") for text in statement.planned]
    reads = all(_only_reads(text) for text in statement.planned)

    def draw(rng: np.random.Generator) -> Draw:
        return Draw({"example": int(rng.integers(len(texts)))})

    def run(session: Session, params: Params) -> int:
        text = texts[int(str(params["example"]))]
        if reads:
            return session.run(text, {})
        with session.conn.transaction(force_rollback=True):
            return session.write(text, {})

    return Timed(statement.name, statement.calls, draw, run)


def trial(conninfo: str, statements: Sequence[Statement]) -> dict[str, str]:
    """Run each once: the reasons of those that cannot be timed, by name.

    The server counts what a SELECT returns and ends it where that is too much, so that one with
    more rows than there is memory does no harm.
    """
    failed = {}
    for statement in statements:
        if any(parameters(text) for text in statement.planned):
            failed[statement.name] = statement.valueless or "it has no values ($n)"
            continue
        for text in statement.planned:
            if reason := _fails(conninfo, text):
                failed[statement.name] = reason
                break
    return failed


def _fails(conninfo: str, text: str) -> str:
    try:
        with psycopg.connect(conninfo) as conn, conn.transaction(force_rollback=True):
            if not _only_reads(text):
                conn.execute(text.encode())
                return ""
            # on lines of its own, since it may end in a comment
            inner = sql.SQL("SELECT * FROM (\n{}\n) y LIMIT {}").format(
                sql.SQL(text), sql.Literal(MOST_ROWS + 1)
            )
            row = conn.execute(
                sql.SQL("SELECT count(*), coalesce(sum(pg_column_size(x)), 0) FROM ({}) x").format(
                    inner
                )
            ).fetchone()
            rows, size = row or (0, 0)
    except psycopg.Error as error:
        return said(error)
    if rows > MOST_ROWS:
        return f"it returns more than {MOST_ROWS:,} rows"
    return f"it returns more than {MOST_BYTES // 2**20} MiB" if size > MOST_BYTES else ""


def _only_reads(text: str) -> bool:
    statement = parse_one(text)
    ctes = statement.withClause.ctes if statement.withClause else ()
    return all(isinstance(one, ast.SelectStmt) for one in (statement, *(c.ctequery for c in ctes)))
