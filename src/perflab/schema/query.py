"""What a query of the workload is: a statement, its parameters and the indexes it should use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
import numpy as np
from sqlalchemy import Select, make_url

from perflab.schema.population import Draw, Population

DIALECT = make_url("postgresql+psycopg://").get_dialect()()
"""How SQLAlchemy spells SQL for psycopg 3."""

Category = Literal["tasks", "habits", "analytics", "profile", "notes", "housekeeping"]
Drawer = Callable[[np.random.Generator, Population], Draw]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One query; both arms run exactly ``sql``."""

    name: str
    category: Category
    question: str
    """What the application wants to know."""
    statement: Select[Any]
    sql: str
    """The statement compiled once for psycopg, with ``%(name)s`` placeholders."""
    index: tuple[str, ...]
    """Catalogue indexes its plan uses; empty where none can help."""
    draw: Drawer
    """Parameters of one call."""


def query(
    name: str,
    category: Category,
    question: str,
    statement: Select[Any],
    index: tuple[str, ...],
    draw: Drawer,
) -> Query:
    """A query with its statement compiled."""
    compiled = statement.compile(dialect=DIALECT)
    return Query(
        name=name,
        category=category,
        question=question,
        statement=statement,
        sql=str(compiled),
        index=index,
        draw=draw,
    )
