"""What indexes that are there return: each is left out in turn, and the workload measured.

On a copy that nobody else uses an index is dropped, and the statements whose plan uses it are
measured there against another copy that has it; then it is built again. So every index is judged
with all of the others in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from perflab.advisor.catalog import Catalog, IndexFacts, TableFacts
from perflab.advisor.existing import Fault, Idle
from perflab.advisor.proof import (
    Step,
    contrast,
    is_faster,
    operations_of,
    runs_of,
    used_indexes,
)
from perflab.advisor.timed import Timed
from perflab.advisor.workload import Statement
from perflab.advisor.writes import replacement, wal_per_row
from perflab.database.index_builder import drop_indexes
from perflab.database.session import Session
from perflab.measure.comparison import Comparison, compare
from perflab.measure.statistics import Interval
from perflab.profiles import AdvisorSizes


@dataclass(frozen=True)
class Return:
    """One index: what it gives and what it costs."""

    index: IndexFacts
    table: str
    fault: Fault | None
    """What its definition and the server's counters say against it."""
    serves: dict[str, Comparison]
    """By statement whose plan uses it: without it (before) against with it (after)."""
    wal_bytes: float
    """Of each row replaced, what goes into this index; about, since pages split at times."""

    @property
    def faster(self) -> tuple[str, ...]:
        """Statements that are measurably faster with it."""
        return tuple(name for name, one in self.serves.items() if is_faster(one))

    @property
    def slower(self) -> tuple[str, ...]:
        """Statements that are measurably slower with it: the planner should not have taken it."""
        ratios = {name: one.median for name, one in self.serves.items()}
        return tuple(n for n, r in ratios.items() if isinstance(r, Interval) and r.lo > 1)

    @property
    def finding(self) -> str:
        """In words."""
        if self.slower:
            return "misleads" if not self.faster else "earns and misleads"
        if self.faster:
            return "earns"
        return "nothing is measurably faster with it" if self.serves else "no statement uses it"


def measure_returns(
    full: str,
    without: str,
    timed: Sequence[Timed],
    statements: Sequence[Statement],
    catalog: Catalog,
    idle: Sequence[Idle],
    sizes: AdvisorSizes,
    seed: int,
    step: Step | None = None,
    guests: tuple[str, str] | None = None,
) -> tuple[Return, ...]:
    """The return of every index in ``full`` that keeps no promise (unique, primary key).

    ``without`` is an equal copy, and the same again afterwards but for dead rows; ``catalog`` is
    that of both, ``idle`` what speaks against indexes where they are in use. ``guests`` are the
    two as the role that the statements run as, where they are not to be trusted with an
    administrator's rights.
    """
    used = used_indexes(full, statements)
    faults = {one.name: one.fault for one in idle}
    indexes = judged(catalog)
    served = {}
    for number, (_table, index) in enumerate(indexes):
        if step:
            step(index.name, number, len(indexes))
        users = [one for one in timed if index.bare in used.get(one.name, ())]
        drop_indexes(without, [index.name])
        served[index.name] = _compared(*(guests or (full, without)), users, sizes, seed)
        with psycopg.connect(without, autocommit=True) as conn:
            conn.execute(index.definition.encode())
    wal = _wal(without, indexes, catalog, sizes.write_rows)  # last: what it replaces lies about
    if step:
        step("", len(indexes), len(indexes))
    return tuple(
        Return(
            index, table.name, faults.get(index.name), served[index.name], wal[index.name]
        )
        for table, index in indexes
    )  # fmt: skip


def judged(catalog: Catalog) -> list[tuple[TableFacts, IndexFacts]]:
    """The indexes that keep no promise, with their tables."""
    return [
        (table, index)
        for table in catalog.tables
        for index in table.indexes
        if index.valid and not (index.unique or index.constraint or index.attached)
    ]


def _compared(
    full: str, without: str, users: Sequence[Timed], sizes: AdvisorSizes, seed: int
) -> dict[str, Comparison]:
    """Statements without an index against the same with it; nothing where none uses it."""
    if not users:
        return {}
    with Session(without) as one, Session(full) as two, Session(full) as three:
        samples = contrast(
            (one, two, three), operations_of(users), runs_of(users), sizes.rounds, sizes.calls,
            seed, warm=False,
        )  # fmt: skip
    return {user.name: compare(samples, operations=[user.name]) for user in users}


def _wal(
    conninfo: str, indexes: Sequence[tuple[TableFacts, IndexFacts]], catalog: Catalog, rows: int
) -> dict[str, float]:
    """By index, WAL bytes a row that go with it."""
    tables = {table.name: catalog.storing(table.name) for table, _index in indexes}
    replaced = {name: replacement(conninfo, table, rows) for name, table in tables.items()}
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for what in replaced.values():
            wal_per_row(conn, what)  # the first change of a page after a checkpoint logs all of it
        whole = {name: wal_per_row(conn, what) for name, what in replaced.items()}
        found = {}
        for table, index in indexes:
            with conn.transaction(force_rollback=True):
                conn.execute(f"DROP INDEX {index.name}".encode())
                found[index.name] = whole[table.name] - wal_per_row(conn, replaced[table.name])
    return found
