"""Statements as an experiment times them: read as they are, writes rolled back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
from pglast import ast

from perflab.advisor.errors import said
from perflab.advisor.sql import parameters, parse_one
from perflab.advisor.workload import Statement
from perflab.database.session import Session
from perflab.measure.experiment import Draw, Drawn, Params


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


def trial(conninfo: str, timed: Sequence[Timed]) -> dict[str, str]:
    """Run each once: the reasons of those that fail, by name. A timed statement must not."""
    failed = {}
    rng = np.random.default_rng(0)
    for one in timed:
        with Session(conninfo) as session:
            try:
                one.run(session, one.draw(rng).params)
            except psycopg.Error as error:
                failed[one.name] = said(error)
    return failed


def _only_reads(text: str) -> bool:
    statement = parse_one(text)
    ctes = statement.withClause.ctes if statement.withClause else ()
    return all(isinstance(one, ast.SelectStmt) for one in (statement, *(c.ctequery for c in ctes)))
