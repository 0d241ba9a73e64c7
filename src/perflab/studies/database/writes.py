"""What indexes cost: slower writes, more WAL, fewer heap-only updates, longer planning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import psycopg

from perflab.database.plans import explain
from perflab.database.session import Session
from perflab.measure.blocks import Blocks
from perflab.measure.comparison import compare
from perflab.measure.experiment import Draw, Operation, Params
from perflab.measure.statistics import ratio_of_medians
from perflab.profiles import DatabaseSizes
from perflab.progress import Step
from perflab.studies.database.arms import Arms, LabArms, needs_lab_schema
from perflab.studies.database.contrast import run_contrast
from perflab.studies.frames import comparison_row, triple


@dataclass(frozen=True)
class Write:
    """One kind of write, done to many rows in one statement so that the commit weighs little."""

    name: str
    table: str
    sql: str
    """Takes ``n`` rows from ``first`` on; an update takes every tenth row, from ``slot``."""
    updates: bool = False

    def params(self, rng: np.random.Generator, last: int, rows: int) -> dict[str, object]:
        """``rows`` rows somewhere among the first ``last``."""
        first = int(rng.integers(1, max(2, last - rows * (10 if self.updates else 1))))
        given: dict[str, object] = {"first": first, "n": rows}
        return {**given, "slot": int(rng.integers(10))} if self.updates else given


WRITES: tuple[Write, ...] = (
    Write(
        "insert tasks",
        "tasks",
        "INSERT INTO tasks (id, user_id, project_id, title, status, priority, due_date,"
        " reminder_at, completed_at, created_at, updated_at)"
        " SELECT (SELECT max(id) FROM tasks) + row_number() OVER (), user_id, project_id, title,"
        " 'todo', priority, due_date, reminder_at, NULL, updated_at, updated_at FROM tasks"
        " WHERE id BETWEEN %(first)s AND %(first)s + %(n)s - 1",
    ),
    Write(
        "insert habit entries",
        "habit_entries",
        "INSERT INTO habit_entries (id, habit_id, entry_date, amount)"
        " SELECT (SELECT max(id) FROM habit_entries) + row_number() OVER (), habit_id,"
        " entry_date + 400, amount FROM habit_entries"
        " WHERE id BETWEEN %(first)s AND %(first)s + %(n)s - 1",
    ),
    Write(
        "insert events",
        "analytics_events",
        "INSERT INTO analytics_events (id, user_id, event_type, occurred_at, payload)"
        " SELECT (SELECT max(id) FROM analytics_events) + row_number() OVER (), user_id,"
        " event_type, occurred_at + interval '200 days', payload FROM analytics_events"
        " WHERE id BETWEEN %(first)s AND %(first)s + %(n)s - 1",
    ),
    Write(
        "update task status (indexed)",
        "tasks",
        "UPDATE tasks SET status = CASE status WHEN 'todo' THEN 'in_progress' ELSE 'todo' END"
        " WHERE id BETWEEN %(first)s AND %(first)s + 10 * %(n)s - 1 AND id %% 10 = %(slot)s",
        updates=True,
    ),
    Write(
        "update note body (not indexed)",
        "notes",
        "UPDATE notes SET body = reverse(body)"
        " WHERE id BETWEEN %(first)s AND %(first)s + 10 * %(n)s - 1 AND id %% 10 = %(slot)s",
        updates=True,
    ),
)


@dataclass(frozen=True)
class WriteCosts:
    """Figures of the write experiment."""

    slowdown: pd.DataFrame
    """One row a write: both arms in ms per call and the ratio after/before."""
    wal: pd.DataFrame
    """One row a write: WAL bytes per row and the share of heap-only updates, in both arms."""


@needs_lab_schema("what indexes cost writes")
def measure_writes(
    arms: LabArms, sizes: DatabaseSizes, seed: int, step: Step | None = None
) -> WriteCosts:
    """Time the writes in both arms; the control is a copy of *after*, since writes change data."""
    control = arms.datasets.copy(arms.after, "control")
    conninfos = (arms.before, arms.after, control)
    last = {write.table: _rows(arms.before, write.table) for write in WRITES}

    def operation(write: Write) -> Operation:
        return Operation(
            write.name,
            write.table,
            lambda rng: Draw(write.params(rng, last[write.table], sizes.write_rows)),
        )

    statements = {write.name: write.sql for write in WRITES}

    def call(session: Session, operation: Operation, params: Params) -> int:
        return session.write(statements[operation.name], params)

    samples = run_contrast(
        conninfos,
        call,
        [operation(write) for write in WRITES],
        rounds=sizes.write_rounds,
        calls=1,
        seed=seed,
        plan_cache_mode=arms.plan_cache_mode,
        step=step,
    )
    slowdown = pd.DataFrame(
        [{"write": w.name, **comparison_row(compare(samples, operations=[w.name]))} for w in WRITES]
    )
    return WriteCosts(slowdown=slowdown, wal=_wal(arms, sizes.write_rows, seed))


def _wal(arms: Arms, rows: int, seed: int) -> pd.DataFrame:
    """WAL and heap-only updates of the same writes, outside the timing.

    A heap-only update needs room in the row's page, which a freshly loaded table has nowhere.
    So each update first moves every tenth row, VACUUM frees their places, as it would in a table
    in use, and their neighbours' updates are counted.
    """
    found: dict[str, dict[str, object]] = {w.name: {"write": w.name} for w in WRITES}
    for arm, conninfo in (("before", arms.before), ("after", arms.after)):
        rng = np.random.default_rng(seed)
        with psycopg.connect(conninfo, autocommit=True) as conn:
            for write in WRITES:
                last = _rows(conninfo, write.table)
                params = write.params(rng, last, min(rows, last // 20))
                hot_percent = None
                if write.updates:
                    conn.execute(write.sql.encode(), {**params, "slot": 0})
                    conn.execute(f"VACUUM {write.table}".encode())
                    params["slot"] = 1
                start = _lsn(conn)
                with conn.transaction():
                    updated, hot = _updates(conn, write.table)
                    done = conn.execute(write.sql.encode(), params).rowcount
                    updated_now, hot_now = _updates(conn, write.table)
                found[write.name][f"wal_bytes_{arm}"] = (_lsn(conn) - start) / max(1, done)
                if write.updates:
                    hot_percent = 100 * (hot_now - hot) / max(1, updated_now - updated)
                found[write.name][f"hot_percent_{arm}"] = hot_percent
    return pd.DataFrame(list(found.values()))


def measure_planning(arms: Arms, rounds: int, seed: int) -> pd.DataFrame:
    """Planning time per query as the server reports it; the ratio after/before over all rounds.

    Every index of a table is considered at planning, so a catalogue has a price on reads too.
    """
    rng = np.random.default_rng(seed)
    planning: dict[str, dict[str, list[float]]] = {
        q.name: {"before": [], "after": []} for q in arms.questions
    }
    with (
        psycopg.connect(arms.before, autocommit=True) as before,
        psycopg.connect(arms.after, autocommit=True) as after,
    ):
        connections = {"before": before, "after": after}
        for _ in range(rounds):
            for query in arms.questions:
                params = query.draw(rng).params
                for arm in rng.permutation(list(connections)):
                    plan = explain(connections[arm], query.sql, params, analyze=False)
                    planning[query.name][arm].append(plan.planning_ms)
    return pd.DataFrame([_planning_row(name, arms_ms) for name, arms_ms in planning.items()])


def _planning_row(query: str, planning_ms: dict[str, list[float]]) -> dict[str, object]:
    blocks = {arm: Blocks.of([[ms] for ms in values]) for arm, values in planning_ms.items()}
    return {
        "query": query,
        "before": float(np.median(planning_ms["before"])),
        "after": float(np.median(planning_ms["after"])),
        **triple("ratio", ratio_of_medians(blocks["before"], blocks["after"])),
    }


def index_frame(arms: Arms) -> pd.DataFrame:
    """One row an index (or statement): the query that it is for, build time, size and WAL."""
    return pd.DataFrame(
        [
            {
                "index": built.name,
                "serves": arms.serves.get(built.name, ""),
                "build_s": built.build_s,
                "size_mib": built.size_bytes / 2**20,
                "wal_mib": built.wal_bytes / 2**20,
            }
            for built in arms.built.built
        ]
    )


def _rows(conninfo: str, table: str) -> int:
    with psycopg.connect(conninfo) as conn:
        row = conn.execute(f"SELECT max(id) FROM {table}".encode()).fetchone()  # noqa: S608 - a constant
    return int(row[0]) if row and row[0] else 0


def _lsn(conn: psycopg.Connection) -> int:
    row = conn.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')").fetchone()
    return int(row[0]) if row else 0


def _updates(conn: psycopg.Connection, table: str) -> tuple[int, int]:
    """Updates, and those that were heap-only, which this session has not reported yet.

    Exact at once within a transaction; what it has reported arrives later, and before
    PostgreSQL 15 there is no way to wait for it.
    """
    row = conn.execute(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = %s", [table]
    ).fetchone()
    return (row[0], row[1]) if row else (0, 0)
