"""Builds the catalogue with CREATE INDEX CONCURRENTLY: resumable, with progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from typing import Literal

import msgspec
import psycopg

from perflab.errors import PerflabError
from perflab.schema.indexes import CATALOGUE, IndexSpec

Progress = Callable[[str, int, int], None]
"""``progress(what, done, total)``, in hundredths of an index; called in the caller's thread."""

State = Literal["absent", "valid", "invalid", "building", "different"]

_POLL_S = 0.25


class IndexBuildError(PerflabError):
    """The builder could not go on; calling it again resumes."""


class Built(msgspec.Struct, frozen=True):
    """One index that was built."""

    name: str
    build_s: float
    size_bytes: int
    wal_bytes: int
    """WAL written by the whole server meanwhile: exact where nothing else writes."""


class Failed(msgspec.Struct, frozen=True):
    """One index that is missing, or not what the catalogue says, and why."""

    name: str
    reason: str


class BuildReport(msgspec.Struct, frozen=True):
    """What one call of :func:`build_indexes` did."""

    built: tuple[Built, ...] = ()
    """Everything built, the rebuilt included."""
    rebuilt: tuple[str, ...] = ()
    """Invalid leftovers that were dropped and built again."""
    skipped: tuple[str, ...] = ()
    """Already there, valid and with the same definition."""
    elsewhere: tuple[str, ...] = ()
    """Being built by another session at this moment, and left to it."""
    failed: tuple[Failed, ...] = ()


def build_indexes(
    conninfo: str,
    specs: Sequence[IndexSpec] = CATALOGUE,
    progress: Progress | None = None,
    lock_timeout_s: float = 0.0,
) -> BuildReport:
    """Build those of ``specs`` that are missing, one after the other; safe to call again.

    A leftover of an interrupted build (invalid, and nobody at work on it) is dropped and built
    again. A failed build is reported with its reason, its leftover dropped, and the rest goes on.
    CREATE INDEX CONCURRENTLY has to outwait every older transaction, and a short lock_timeout
    kills that wait; so by default (0) there is none.

    Raises IndexBuildError, naming the index, if the connection is lost.
    """
    report = BuildReport()
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for name, value in (
            ("lock_timeout", f"{round(lock_timeout_s * 1000)}ms"),
            ("maintenance_work_mem", "256MB"),
        ):
            conn.execute("SELECT set_config(%s, %s, false)", [name, value])
        for number, spec in enumerate(specs):

            def step(
                share: float, phase: str = "", number: int = number, name: str = spec.name
            ) -> None:
                if progress:
                    what = f"{name}: {phase}" if phase else name
                    progress(what, round(100 * (number + share)), 100 * len(specs))

            step(0.0, "")
            try:
                report = _build_one(conninfo, conn, spec, report, step)
            except psycopg.Error as error:
                if conn.broken or conn.closed:
                    raise IndexBuildError(
                        f"index {spec.name!r}: the connection was lost while building it; "
                        "build the indexes again to resume"
                    ) from error
                report = _add(report, failed=Failed(spec.name, _leave_clean(conn, spec, error)))
        if progress:
            progress("", 100 * len(specs), 100 * len(specs))
    return report


def drop_indexes(conninfo: str, names: Sequence[str]) -> None:
    """Drop indexes without blocking writers; names that do not exist are passed over.

    Names are as SQL writes them, with a schema where the search path does not lead there.
    """
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for name in names:
            _drop(conn, name)


def index_state(conn: psycopg.Connection, spec: IndexSpec) -> State:
    """What the database holds under the name of ``spec``."""
    state = _state(conn, spec.path)
    if state == "valid" and _definition(conn, spec.path) != _wanted(conn, spec):
        return "different"
    return state


def _state(
    conn: psycopg.Connection, name: str
) -> Literal["absent", "valid", "invalid", "building"]:
    row = conn.execute(
        """
        SELECT i.indisvalid,
               EXISTS (
                   SELECT FROM pg_stat_progress_create_index p
                   WHERE p.datname = current_database()
                     -- NULL where the role may not look into other sessions
                     AND (p.index_relid = i.indexrelid OR p.index_relid IS NULL)
               )
        FROM pg_index i WHERE i.indexrelid = to_regclass(%s)
        """,
        [name],
    ).fetchone()
    if row is None:
        return "absent"
    valid, building = row
    # REINDEX reports progress too, on an index that serves queries meanwhile
    return "valid" if valid else "building" if building else "invalid"


Step = Callable[[float, str], None]


def _tell(
    progress: Progress | None, name: str, number: int, specs: int, share: float, phase: str
) -> None:
    if progress:
        progress(f"{name}: {phase}" if phase else name, round(100 * (number + share)), 100 * specs)


def _build_one(
    conninfo: str, conn: psycopg.Connection, spec: IndexSpec, report: BuildReport, step: Step
) -> BuildReport:
    state = index_state(conn, spec)
    if state == "valid":
        return _add(report, skipped=spec.name)
    if state == "building":
        return _add(report, elsewhere=spec.name)
    if state == "different":
        has = _definition(conn, spec.path)
        reason = f"an index of this name exists with another definition ({has}); drop or rename it"
        return _add(report, failed=Failed(spec.name, reason))
    if state == "invalid":
        _drop(conn, spec.path)
    try:
        built = _build(conninfo, conn, spec, step)
    except psycopg.errors.DuplicateTable:
        if _state(conn, spec.path) != "building":
            raise
        return _add(report, elsewhere=spec.name)  # someone else began a moment ago
    report = _add(report, built=built)
    return _add(report, rebuilt=spec.name) if state == "invalid" else report


def _build(conninfo: str, conn: psycopg.Connection, spec: IndexSpec, step: Step) -> Built:
    lsn = _value(conn, "SELECT pg_current_wal_insert_lsn()")
    started = time.perf_counter()
    with ThreadPoolExecutor(1) as worker:
        # PostgreSQL makes no index of a partitioned table CONCURRENTLY
        concurrently = not _is_partitioned(conn, spec.table)
        building = worker.submit(conn.execute, spec.create_sql(concurrently).encode())
        try:
            _follow(conninfo, conn.info.backend_pid, building.result, step)
        except BaseException:
            if not building.done():
                conn.cancel_safe()  # as for Ctrl-C: do not leave the server at work
            raise
    build_s = time.perf_counter() - started
    size, wal = conn.execute(
        "SELECT coalesce((SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree(%(index)s)),"
        " pg_relation_size(%(index)s::regclass)),"
        " pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %(lsn)s)",
        {"index": spec.path, "lsn": lsn},
    ).fetchone() or (0, 0)
    return Built(spec.name, build_s, int(size), int(wal))


def _follow(conninfo: str, pid: int, result: Callable[[float], object], step: Step) -> None:
    """Wait for ``result``, telling how far the server says it is."""
    try:
        result(_POLL_S)
        return
    except StillRunning:
        pass
    with psycopg.connect(conninfo, autocommit=True) as watcher:
        while True:
            row = watcher.execute(
                """
                SELECT phase, greatest(blocks_done::float / nullif(blocks_total, 0),
                                       tuples_done::float / nullif(tuples_total, 0), 0)
                FROM pg_stat_progress_create_index WHERE pid = %s
                """,
                [pid],
            ).fetchone()
            if row and row[0]:
                step(_share_done(*row), row[0])
            try:
                result(_POLL_S)
                return
            except StillRunning:
                continue


def _share_done(phase: str, within: float) -> float:
    """Roughly how much of a concurrent build is over: it reads the table twice."""
    if phase.startswith("building index"):
        return 0.6 * min(within, 1.0)
    if phase.startswith("index validation"):
        return 0.6 + 0.35 * min(within, 1.0)
    return 0.0 if "before build" in phase or phase == "initializing" else 0.6


def _leave_clean(conn: psycopg.Connection, spec: IndexSpec, error: psycopg.Error) -> str:
    """The reason for a failure, after dropping the invalid index that it leaves behind."""
    reason = str(error).strip().splitlines()[0]
    if isinstance(error, psycopg.errors.LockNotAvailable):
        reason += " (an older transaction or a lock outlasted lock_timeout_s)"
    try:
        if _state(conn, spec.path) == "invalid":
            _drop(conn, spec.path)
    except psycopg.Error:
        reason += "; an invalid leftover remains, which the next build replaces"
    return reason


def _drop(conn: psycopg.Connection, name: str) -> None:
    how = "" if _is_partitioned(conn, name) else "CONCURRENTLY"
    conn.execute(f"DROP INDEX {how} IF EXISTS {name}".encode())


def _definition(conn: psycopg.Connection, index: str) -> str:
    """Table, uniqueness, method, columns and conditions of an index as the server spells them."""
    text, table = conn.execute(
        """
        SELECT pg_get_indexdef(i.indexrelid), c.relname
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE i.indexrelid = %s::regclass
        """,
        [index],
    ).fetchone() or ("", "")
    before, _, after = str(text).partition(" USING ")
    unique = "unique, " if before.startswith("CREATE UNIQUE") else ""
    return f"{unique}{table} USING {after}"


def _wanted(conn: psycopg.Connection, spec: IndexSpec) -> str:
    """The same for ``spec``: built on an empty temporary copy of its table, then forgotten."""
    bare = spec.table.rpartition(".")[2]
    with conn.transaction(force_rollback=True):
        conn.execute(f"CREATE TEMP TABLE {bare} (LIKE {spec.table})".encode())
        copied = msgspec.structs.replace(spec, table=bare)
        conn.execute(copied.create_sql(concurrently=False).encode())
        return _definition(conn, f"pg_temp.{spec.name}")


def _is_partitioned(conn: psycopg.Connection, name: str) -> bool:
    """Whether a table or index of this name is there and has partitions."""
    found = conn.execute(
        "SELECT 1 FROM pg_class WHERE oid = to_regclass(%s) AND relkind IN ('p', 'I')", [name]
    ).fetchone()
    return found is not None


def _value(conn: psycopg.Connection, statement: str) -> object:
    row = conn.execute(statement.encode()).fetchone()
    return row[0] if row else None


def _add(
    report: BuildReport,
    built: Built | None = None,
    rebuilt: str = "",
    skipped: str = "",
    elsewhere: str = "",
    failed: Failed | None = None,
) -> BuildReport:
    return BuildReport(
        (*report.built, built) if built else report.built,
        (*report.rebuilt, rebuilt) if rebuilt else report.rebuilt,
        (*report.skipped, skipped) if skipped else report.skipped,
        (*report.elsewhere, elsewhere) if elsewhere else report.elsewhere,
        (*report.failed, failed) if failed else report.failed,
    )
