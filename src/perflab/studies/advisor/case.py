"""What the advisor study works on: the lab's schema without its catalogue, and with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import psycopg

from perflab.advisor.advice import Advice, advise
from perflab.advisor.catalog import Catalog, read_catalog
from perflab.advisor.selection import Limits
from perflab.advisor.timed import Timed, timed_query
from perflab.advisor.whatif import built_in_transaction
from perflab.advisor.workload import Statement
from perflab.database.session import positional
from perflab.datasets import Datasets
from perflab.profiles import AdvisorSizes
from perflab.progress import Step
from perflab.schema.population import Draw, Population
from perflab.schema.queries import QUERIES
from perflab.schema.query import Query


@dataclass(frozen=True, kw_only=True)
class Case:
    """Two copies of one database, and what is asked of it."""

    before: str = field(repr=False)
    """conninfo: primary keys, a unique e-mail, foreign keys, no other index."""
    advised: str = field(repr=False)
    """conninfo of the copy in which the advice is built."""
    statements: tuple[Statement, ...]
    timed: tuple[Timed, ...]
    catalog: Catalog
    datasets: Datasets = field(repr=False)
    users: int


def make_case(datasets: Datasets, sizes: AdvisorSizes, seed: int) -> Case:
    """Clone the database twice and draw the examples whose plans decide.

    Every query of the application is one statement, called as often as every other.
    """
    before = datasets.clone("advisor_before", sizes.users)
    advised = datasets.clone("advisor_advised", sizes.users)
    population = datasets.population(sizes.users)
    rng = np.random.default_rng(seed)
    with psycopg.connect(before, autocommit=True) as conn:
        catalog = read_catalog(conn)
        statements = tuple(_statement(conn, q, population, rng, sizes.examples) for q in QUERIES)
    return Case(
        before=before,
        advised=advised,
        statements=statements,
        timed=tuple(timed_query(q.name, 1.0, q.sql, _drawer(q, population)) for q in QUERIES),
        catalog=catalog,
        datasets=datasets,
        users=sizes.users,
    )


def advise_case(case: Case, limits: Limits | None = None, step: Step | None = None) -> Advice:
    """The advice for a case, by the planner's costs of indexes built and rolled back."""
    with built_in_transaction(case.before) as what_if:
        return advise(case.statements, case.catalog, what_if, limits, step)


def _statement(
    conn: psycopg.Connection,
    query: Query,
    population: Population,
    rng: np.random.Generator,
    examples: int,
) -> Statement:
    with psycopg.ClientCursor(conn) as cursor:
        filled = tuple(
            cursor.mogrify(query.sql.encode(), query.draw(rng, population).params)
            for _ in range(examples)
        )
    return Statement(query.name, positional(query.sql)[0].decode(), examples=filled)


def _drawer(query: Query, population: Population) -> Callable[[np.random.Generator], Draw]:
    return lambda rng: query.draw(rng, population)
