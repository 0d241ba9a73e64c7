"""Proves advice: the chosen indexes built on a copy and measured against a copy without them.

Per statement both arms with an interval and an A/A control, for writers what they pay, and for
each index its size and the WAL of its build. What serves no statement that got measurably faster
is dropped from the advice. Where two indexes of one table serve the same statement, the planner
may take the wrong one: then each is left out in turn, and goes if nothing gets slower without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import psycopg

from perflab.advisor.candidates import Candidate
from perflab.advisor.catalog import Catalog
from perflab.advisor.explain import estimate, looking
from perflab.advisor.heap_only import heap_only
from perflab.advisor.partitions import attached_indexes
from perflab.advisor.selection import Choice, Rejected, Selection
from perflab.advisor.timed import Timed
from perflab.advisor.workload import Statement
from perflab.advisor.writes import WriteCost, replacement, wal_per_row
from perflab.database.index_builder import BuildReport, Built, build_indexes, drop_indexes
from perflab.database.session import Session
from perflab.measure.comparison import Comparison, compare
from perflab.measure.experiment import Arm, Experiment, Operation, Params
from perflab.measure.samples import Samples
from perflab.measure.statistics import Interval
from perflab.profiles import AdvisorSizes

Step = Callable[[str, int, int], None]
Run = Callable[[Session, Params], int]


@dataclass(frozen=True)
class Proved:
    """One index after it was measured."""

    choice: Choice
    built: Built
    serves: tuple[str, ...]
    """Statements whose plan uses it, with everything chosen in place."""
    faster: tuple[str, ...]
    """Those of them whose median time fell, with all of its interval."""


@dataclass(frozen=True)
class Proof:
    """What measuring said of a selection."""

    samples: Samples
    by_statement: dict[str, Comparison]
    calls: Mapping[str, float]
    kept: tuple[Proved, ...]
    dropped: tuple[Rejected, ...]
    writes: tuple[WriteCost, ...]

    @property
    def total_ms(self) -> tuple[float, float]:
        """Time of the whole workload before and after: means weighted by calls."""
        before, after = (
            sum(
                self.calls[name] * figure.estimate
                for name, comparison in self.by_statement.items()
                if isinstance(figure := getattr(comparison, arm).mean_ms, Interval)
            )
            for arm in ("before", "after")
        )
        return before, after

    @property
    def reduction_percent(self) -> float:
        """How much less time the workload takes."""
        before, after = self.total_ms
        return 100 * (1 - after / before) if before else 0.0


def build_chosen(conninfo: str, selection: Selection, step: Step | None = None) -> BuildReport:
    """Build what was chosen on a copy, and make the copy ready to be measured."""
    specs = [choice.candidate.spec(choice.serves) for choice in selection.chosen]
    report = build_indexes(conninfo, specs, progress=step)
    _vacuum(conninfo, sorted({spec.table for spec in specs}))
    return report


def prove(
    before: str,
    after: str,
    timed: Sequence[Timed],
    statements: Sequence[Statement],
    selection: Selection,
    report: BuildReport,
    catalog: Catalog,
    sizes: AdvisorSizes,
    seed: int,
    step: Step | None = None,
    guests: tuple[str, str] | None = None,
    copy: Callable[[str], str] | None = None,
) -> Proof:
    """Measure ``before`` against ``after``, which :func:`build_chosen` has built.

    ``copy`` copies a database that nobody is connected to; without it contested indexes stay.
    ``guests`` are the same two databases as a role that the statements run as, where they are
    not to be trusted with an administrator's rights.

    ``statements`` have the texts by which plans are looked at, ``timed`` runs them; indexes that
    are dropped from the advice are dropped from ``after`` as well.
    """
    needless: tuple[Rejected, ...] = ()
    if copy is not None:
        needless = _challenge(after, selection, timed, statements, sizes, seed, copy)
        drop_indexes(after, [d.candidate.spec().path for d in needless])
    samples = measure(*(guests or (before, after)), timed, sizes, seed, step)
    by_statement = {one.name: compare(samples, operations=[one.name]) for one in timed}
    used = used_indexes(after, statements)
    gone = {d.candidate for d in needless}
    left = [choice for choice in selection.chosen if choice.candidate not in gone]
    kept, idle = _judge(left, report, used, by_statement)
    drop_indexes(after, [d.candidate.spec().path for d in idle])
    dropped = (*needless, *idle)
    tables = sorted({proved.choice.candidate.table for proved in kept})
    writes = measure_writes(before, after, catalog, tables, sizes, seed, step)
    return Proof(samples, by_statement, {t.name: t.calls for t in timed}, kept, dropped, writes)


def measure(
    before: str,
    after: str,
    timed: Sequence[Timed],
    sizes: AdvisorSizes,
    seed: int,
    step: Step | None,
) -> Samples:
    """Every statement in both arms, interleaved."""
    with Session(before) as one, Session(after) as two, Session(after) as three:
        return contrast(
            (one, two, three), operations_of(timed), runs_of(timed), sizes.rounds, sizes.calls,
            seed, step,
        )  # fmt: skip


def measure_writes(
    before: str,
    after: str,
    catalog: Catalog,
    tables: Sequence[str],
    sizes: AdvisorSizes,
    seed: int,
    step: Step | None = None,
) -> tuple[WriteCost, ...]:
    """What the new indexes of ``tables`` cost whoever writes there."""
    if not tables:
        return ()
    replaced = {t: replacement(before, catalog.storing(t), sizes.write_rows) for t in tables}
    with Session(before) as one, Session(after) as two, Session(after) as three:
        samples = contrast(
            (one, two, three),
            [Operation(table, "writes", what.draw) for table, what in replaced.items()],
            {table: what.run for table, what in replaced.items()},
            sizes.write_rounds,
            1,
            seed,
            step,
            warm=False,
        )
    with (
        psycopg.connect(before, autocommit=True) as conn_before,
        psycopg.connect(after, autocommit=True) as conn_after,
    ):
        costs = tuple(
            WriteCost(
                table,
                compare(samples, operations=[table]),
                wal_per_row(conn_before, what),
                wal_per_row(conn_after, what),
                heap_only(before, catalog.storing(table)),
                heap_only(after, catalog.storing(table)),
            )
            for table, what in replaced.items()
        )
    for conninfo in (before, after):
        # what was rolled back lies about, in GIN's pending lists too: readers would pay for it
        _vacuum(conninfo, tables)
    return costs


def _vacuum(conninfo: str, tables: Sequence[str]) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for table in tables:
            conn.execute(f"VACUUM (ANALYZE) {table}".encode())


def used_indexes(conninfo: str, statements: Sequence[Statement]) -> dict[str, frozenset[str]]:
    """By statement, the indexes that its plans use, over all its examples.

    In place of a partition's index stands that of the partitioned table to which it is attached.
    """
    with psycopg.connect(conninfo, autocommit=True) as conn, looking(conn):
        whole = attached_indexes(conn)
        return {
            statement.name: frozenset(
                whole.get(name, name)
                for text in statement.planned
                for name in estimate(conn, text).plan.index_names
            )
            for statement in statements
        }


def operations_of(timed: Sequence[Timed]) -> list[Operation]:
    """Statements as an experiment knows them,"""
    return [Operation(one.name, "workload", one.draw) for one in timed]


def runs_of(timed: Sequence[Timed]) -> dict[str, Run]:
    """and what runs each."""
    return {one.name: one.run for one in timed}


def contrast(
    sessions: tuple[Session, Session, Session],
    operations: Sequence[Operation],
    runs: Mapping[str, Run],
    rounds: int,
    calls: int,
    seed: int,
    step: Step | None = None,
    *,
    warm: bool = True,
) -> Samples:
    """Every operation in three sessions: before, after and after once more.

    Without ``warm`` each is run once beforehand in each session and not before every block:
    where a call is long, what another arm left in the caches is nothing beside it.
    """
    before, after, control = (
        Arm(name, _caller(session, runs))
        for name, session in zip(("before", "after", "after again"), sessions, strict=True)
    )
    if not warm:
        rng = np.random.default_rng(seed)
        for operation in operations:
            params = operation.draw(rng).params
            for arm in (before, after, control):
                arm.call(operation, params)
    return Experiment(
        before=before,
        after=after,
        control=control,
        operations=operations,
        rounds=rounds,
        calls=calls,
        warmup=int(warm),
        seed=seed,
    ).run(step)


def _caller(session: Session, runs: Mapping[str, Run]) -> Callable[[Operation, Params], int]:
    def call(operation: Operation, params: Params) -> int:
        return runs[operation.name](session, params)

    return call


def _judge(
    chosen: Sequence[Choice],
    report: BuildReport,
    used: Mapping[str, frozenset[str]],
    by_statement: Mapping[str, Comparison],
) -> tuple[tuple[Proved, ...], tuple[Rejected, ...]]:
    built = {one.name: one for one in report.built}
    failed = {one.name: one.reason for one in report.failed}
    kept, dropped = [], []
    for choice in chosen:
        name = choice.candidate.name
        if name not in built:
            reason = failed.get(name, "it was there already")
            dropped.append(Rejected(choice.candidate, f"not built: {reason}"))
            continue
        serves = tuple(s for s, names in used.items() if name in names)
        faster = tuple(s for s in serves if s in by_statement and is_faster(by_statement[s]))
        if faster:
            kept.append(Proved(choice, built[name], serves, faster))
        else:
            who = ", ".join(serves) or "no statement uses it once it is built"
            reason = f"measured: nothing it serves got faster ({who})" if serves else who
            dropped.append(Rejected(choice.candidate, reason))
    return tuple(kept), tuple(dropped)


def contested(chosen: Sequence[Choice], used: Mapping[str, frozenset[str]]) -> tuple[Choice, ...]:
    """Indexes that no statement uses without another one of their table; least saving first."""
    tables = {choice.candidate.name: choice.candidate.table for choice in chosen}

    def is_alone(name: str, names: frozenset[str]) -> bool:
        return tables[name] not in (tables.get(other) for other in names - {name})

    found = []
    for choice in chosen:
        name = choice.candidate.name
        uses = [names for names in used.values() if name in names]
        if uses and not any(is_alone(name, names) for names in uses):
            found.append(choice)
    return tuple(sorted(found, key=lambda choice: choice.saves_percent))


def _challenge(
    after: str,
    selection: Selection,
    timed: Sequence[Timed],
    statements: Sequence[Statement],
    sizes: AdvisorSizes,
    seed: int,
    copy: Callable[[str], str],
) -> tuple[Rejected, ...]:
    """Leave each contested index out, in a copy: those that nothing is faster with."""
    needless: list[Rejected] = []
    chosen, tried = list(selection.chosen), set[Candidate]()
    without = copy(after)
    while True:
        used = used_indexes(without, statements)
        suspects = (c for c in contested(chosen, used) if c.candidate not in tried)
        suspect = next(suspects, None)
        if suspect is None:
            return tuple(needless)
        tried.add(suspect.candidate)
        name = suspect.candidate.name
        users = [statement for statement, names in used.items() if name in names]
        asked = [one for one in timed if one.name in users]
        drop_indexes(without, [suspect.candidate.spec().path])
        samples = measure(without, after, asked, sizes, seed, None)
        if any(is_faster(compare(samples, operations=[one.name])) for one in asked):
            build_indexes(without, [suspect.candidate.spec()])
            continue
        chosen.remove(suspect)
        reason = f"measured: nothing is faster with it ({', '.join(users)})"
        needless.append(Rejected(suspect.candidate, reason))


def is_faster(comparison: Comparison) -> bool:
    """Whether the median fell, with all of its interval."""
    ratio = comparison.median
    return isinstance(ratio, Interval) and ratio.hi < 1
