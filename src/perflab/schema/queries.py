"""The workload: what a productivity application asks its database, by category."""

from __future__ import annotations

from perflab.errors import ParameterError
from perflab.schema.population import Draw, Population, Selectivity
from perflab.schema.query import Category, Query
from perflab.schema.statements import analytics, habits, housekeeping, notes, profile, tasks

__all__ = [
    "CATEGORIES",
    "PLAN_CATEGORIES",
    "QUERIES",
    "Category",
    "Draw",
    "Population",
    "Query",
    "Selectivity",
    "find_query",
]

QUERIES: tuple[Query, ...] = (
    *tasks.QUERIES,
    *habits.QUERIES,
    *analytics.QUERIES,
    *profile.QUERIES,
    *notes.QUERIES,
    *housekeeping.QUERIES,
)
"""All queries, in a stable order."""

PLAN_CATEGORIES: tuple[Category, ...] = ("tasks", "habits", "analytics", "profile")
"""The rows of the plan's table."""

CATEGORIES: tuple[Category, ...] = (*PLAN_CATEGORIES, "notes", "housekeeping")


def find_query(name: str) -> Query:
    """The query called ``name``; a ParameterError lists the known ones."""
    for query in QUERIES:
        if query.name == name:
            return query
    raise ParameterError(f"query {name!r} is unknown; known: {', '.join(q.name for q in QUERIES)}")
