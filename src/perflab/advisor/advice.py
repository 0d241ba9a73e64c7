"""From statements to advice: what can be planned, its candidates, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import psycopg

from perflab.advisor.candidates import find_candidates
from perflab.advisor.catalog import Catalog
from perflab.advisor.errors import StatementError, said
from perflab.advisor.existing import Idle, idle_indexes
from perflab.advisor.explain import estimate, looking
from perflab.advisor.partitions import folded
from perflab.advisor.reading import uses_of
from perflab.advisor.selection import Limits, Selection, select
from perflab.advisor.sql import parse_one, tables_of
from perflab.advisor.statement_stats import OWN, Seen, Snapshot
from perflab.advisor.whatif import WhatIf
from perflab.advisor.workload import Statement


@dataclass(frozen=True)
class Unplanned:
    """A statement that the server does not plan, and its reason."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Advice:
    """What is to be made for a workload, estimated; and what could go."""

    statements: tuple[Statement, ...]
    catalog: Catalog
    candidates: int
    selection: Selection
    idle: tuple[Idle, ...]


def plannable(
    conn: psycopg.Connection, statements: Sequence[Statement]
) -> tuple[tuple[Statement, ...], tuple[Unplanned, ...]]:
    """Those that the server plans, and why not the others; nothing is executed.

    A StatementError, with the first reason, if there is none.
    """
    good, bad = [], []
    with looking(conn):
        for statement in statements:
            try:
                for text in statement.planned:
                    estimate(conn, text)
            except psycopg.Error as error:
                if conn.broken or conn.closed:
                    raise
                bad.append(Unplanned(statement.name, said(error)))
            else:
                good.append(statement)
    if not good:
        why = f" ({bad[0]})" if bad else ""
        raise StatementError(f"no statement of the workload can be planned here{why}")
    return tuple(good), tuple(bad)


def advise(
    statements: Sequence[Statement],
    catalog: Catalog,
    what_if: WhatIf,
    limits: Limits | None = None,
    step: Callable[[str, int, int], None] | None = None,
) -> Advice:
    """Find candidates for plannable statements and choose among them."""
    uses = {one.name: uses_of(parse_one(one.text), catalog) for one in statements}
    found = find_candidates(uses, catalog, {one.name: one.calls for one in statements})
    candidates = folded(found, catalog)
    there = {table.name: len(table.indexes) for table in catalog.tables}
    return Advice(
        statements=tuple(statements),
        catalog=catalog,
        candidates=len(candidates),
        selection=select(statements, candidates, what_if, limits, there, step),
        idle=idle_indexes(catalog),
    )


def statements_of(snapshot: Snapshot, most: int = 200) -> tuple[Statement, ...]:
    """The costliest statements of a server's own statistics, with their calls.

    What reads system catalogs only, as the advisor itself does, is nobody's workload.
    """
    seen = sorted(snapshot.statements.values(), key=lambda s: -s.counters.total_ms)
    asked = (s for s in seen if is_workload(s))
    return tuple(
        Statement(f"query {s.query_id}", s.planned, float(max(1, s.counters.calls)))
        for s in islice(asked, most)
    )


def is_workload(seen: Seen) -> bool:
    """Whether a statement reads or writes more than system catalogs, and is not the advisor's."""
    return OWN not in seen.planned and any(
        schema != "information_schema" and not name.startswith("pg_")
        for schema, name in tables_of(seen.planned)
    )
