"""Index builds: resumable, honest about failures, out of the way of others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from perflab.database.index_builder import (
    BuildReport,
    IndexBuildError,
    build_indexes,
    drop_indexes,
    index_state,
)
from perflab.schema.indexes import CATALOGUE, IndexSpec
from perflab.schema.population import Population
from perflab.schema.seed import create_schema, load

REASON = "made for a test"
ON_USER = IndexSpec("idx_t_user", "t", "btree", "(user_id)", "q", REASON)
ON_KIND = IndexSpec("idx_t_kind", "t", "partial", "(kind) WHERE kind <> 'x'", "q", REASON)
UNIQUE = IndexSpec("idx_t_unique", "t", "btree", "(user_id)", "q", REASON, unique=True)
ON_OTHER = IndexSpec("idx_other", "other", "btree", "(id)", "q", REASON)


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as opened:
        opened.execute(
            "CREATE TABLE t AS SELECT g % 100 AS user_id, 'k' || g % 7 AS kind "
            "FROM generate_series(1, 1000) g"
        )
        opened.execute("CREATE TABLE other AS SELECT g AS id FROM generate_series(1, 100) g")
        yield opened


@contextmanager
def old_snapshot(database: str) -> Iterator[None]:
    """A transaction that CREATE INDEX CONCURRENTLY has to outwait."""
    with psycopg.connect(database) as holder:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT 1")
        yield


def builder_pid(conn: psycopg.Connection) -> int:
    """The backend that waits for the old snapshot, its index there but not yet valid."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        row = conn.execute(
            "SELECT pid FROM pg_stat_progress_create_index "
            "WHERE datname = current_database() AND phase = 'waiting for old snapshots'"
        ).fetchone()
        if row:
            return int(row[0])
    raise AssertionError("no build came to wait for the old snapshot")


def leave_invalid(conn: psycopg.Connection, spec: IndexSpec) -> None:
    """What a build that was interrupted leaves behind."""
    name = spec.name
    with pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON t (user_id)".encode())
    assert index_state(conn, spec) == "invalid"


def test_the_whole_catalogue_is_built_and_a_second_call_skips_all_of_it(database: str) -> None:
    with psycopg.connect(database) as conn:
        create_schema(conn)
        load(conn, Population(50, 1))
    seen: list[tuple[str, int, int]] = []
    report = build_indexes(database, progress=lambda *step: seen.append(step))
    assert [built.name for built in report.built] == [spec.name for spec in CATALOGUE]
    assert (report.failed, report.skipped, report.rebuilt) == ((), (), ())
    for built in report.built:
        assert built.build_s > 0
        assert built.size_bytes >= 8192
        assert built.wal_bytes > 0
    assert seen[-1] == ("", 100 * len(CATALOGUE), 100 * len(CATALOGUE))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)

    again = build_indexes(database)
    assert again.skipped == tuple(spec.name for spec in CATALOGUE)
    assert (again.built, again.failed) == ((), ())


def test_an_interrupted_catalogue_is_completed(database: str, conn: psycopg.Connection) -> None:
    build_indexes(database, [ON_USER])
    report = build_indexes(database, [ON_USER, ON_KIND])
    assert report.skipped == ("idx_t_user",)
    assert [built.name for built in report.built] == ["idx_t_kind"]


def test_an_invalid_leftover_is_dropped_and_rebuilt(
    database: str, conn: psycopg.Connection
) -> None:
    leave_invalid(conn, ON_USER)
    report = build_indexes(database, [ON_USER, ON_KIND])
    assert report.rebuilt == ("idx_t_user",)
    assert [built.name for built in report.built] == ["idx_t_user", "idx_t_kind"]
    assert index_state(conn, ON_USER) == "valid"


def test_an_index_that_another_session_is_building_is_left_to_it(
    database: str, conn: psycopg.Connection
) -> None:
    # left in this order: the snapshot goes first, then the builder can end
    with ThreadPoolExecutor(1) as thread, old_snapshot(database):
        other = thread.submit(build_indexes, database, [ON_USER])
        builder_pid(conn)
        assert build_indexes(database, [ON_USER]) == BuildReport(elsewhere=("idx_t_user",))
    assert [built.name for built in other.result().built] == ["idx_t_user"]
    assert index_state(conn, ON_USER) == "valid"


def test_a_failed_build_is_named_leaves_no_carcass_and_the_rest_goes_on(
    database: str, conn: psycopg.Connection
) -> None:
    report = build_indexes(database, [UNIQUE, ON_KIND])
    ((name, reason),) = [(failed.name, failed.reason) for failed in report.failed]
    assert name == "idx_t_unique"
    assert "could not create unique index" in reason
    assert "\n" not in reason
    assert [built.name for built in report.built] == ["idx_t_kind"]
    assert index_state(conn, UNIQUE) == "absent"


def test_a_table_that_does_not_exist_fails_only_its_own_index(
    database: str, conn: psycopg.Connection
) -> None:
    missing = IndexSpec("idx_missing", "missing", "btree", "(id)", "q", REASON)
    report = build_indexes(database, [missing, ON_USER])
    assert [(f.name, f.reason) for f in report.failed] == [
        ("idx_missing", 'relation "missing" does not exist')
    ]
    assert [built.name for built in report.built] == ["idx_t_user"]


def test_an_index_of_the_same_name_but_another_definition_is_reported_and_kept(
    database: str, conn: psycopg.Connection
) -> None:
    conn.execute("CREATE INDEX idx_t_user ON t (kind)")
    report = build_indexes(database, [ON_USER, ON_KIND])
    (failed,) = report.failed
    assert failed.name == "idx_t_user"
    assert "another definition (t USING btree (kind))" in failed.reason
    assert index_state(conn, ON_USER) == "different"


@pytest.mark.parametrize(
    "other",
    [
        "CREATE UNIQUE INDEX idx_other ON other (id)",
        "CREATE INDEX idx_other ON other (id DESC)",
        "CREATE INDEX idx_other ON other (id) WHERE id > 1",
        "CREATE INDEX idx_other ON t (user_id)",
        "CREATE INDEX idx_other ON other USING hash (id)",
    ],
)
def test_every_difference_of_a_definition_counts(conn: psycopg.Connection, other: str) -> None:
    conn.execute(other.encode())
    assert index_state(conn, ON_OTHER) == "different"


def test_a_lock_timeout_fails_only_the_index_of_the_locked_table(
    database: str, conn: psycopg.Connection
) -> None:
    with psycopg.connect(database) as holder:
        holder.execute("LOCK TABLE other IN ACCESS EXCLUSIVE MODE")
        report = build_indexes(database, [ON_OTHER, ON_USER], lock_timeout_s=0.2)
    assert [failed.name for failed in report.failed] == ["idx_other"]
    assert "lock_timeout_s" in report.failed[0].reason
    assert [built.name for built in report.built] == ["idx_t_user"]
    assert [built.name for built in build_indexes(database, [ON_OTHER]).built] == ["idx_other"]


def test_a_lock_timeout_while_outwaiting_a_snapshot_is_repaired_by_the_next_call(
    database: str, conn: psycopg.Connection
) -> None:
    with old_snapshot(database):
        report = build_indexes(database, [ON_USER], lock_timeout_s=0.2)
    assert [failed.name for failed in report.failed] == ["idx_t_user"]
    again = build_indexes(database, [ON_USER])
    assert [built.name for built in again.built] == ["idx_t_user"]
    assert index_state(conn, ON_USER) == "valid"


def test_a_lost_connection_names_the_index_and_the_next_call_resumes(
    database: str, conn: psycopg.Connection
) -> None:
    with ThreadPoolExecutor(1) as thread, old_snapshot(database):
        build = thread.submit(build_indexes, database, [ON_USER, ON_KIND])
        conn.execute("SELECT pg_terminate_backend(%s)", [builder_pid(conn)])
        with pytest.raises(IndexBuildError, match="'idx_t_user': the connection was lost"):
            build.result(20)
    report = build_indexes(database, [ON_USER, ON_KIND])
    assert report.rebuilt == ("idx_t_user",)
    assert [built.name for built in report.built] == ["idx_t_user", "idx_t_kind"]


def test_an_interrupt_stops_the_server_too(database: str, conn: psycopg.Connection) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if "waiting for old snapshots" in what:
            raise KeyboardInterrupt

    with old_snapshot(database), pytest.raises(KeyboardInterrupt):
        build_indexes(database, [ON_USER], progress=interrupt)
    building = conn.execute(
        "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()"
    ).fetchone()
    assert building == (0,)
    assert build_indexes(database, [ON_USER]).rebuilt == ("idx_t_user",)


def test_a_long_build_tells_its_phase(database: str, conn: psycopg.Connection) -> None:
    phases: list[str] = []

    def note(what: str, done: int, total: int) -> None:
        phases.append(what)
        assert 0 <= done <= total == 100
        if len(phases) > 3:
            raise KeyboardInterrupt

    with old_snapshot(database), pytest.raises(KeyboardInterrupt):
        build_indexes(database, [ON_USER], progress=note)
    assert phases[-1] == "idx_t_user: waiting for old snapshots"


def test_indexes_are_dropped_by_name(database: str, conn: psycopg.Connection) -> None:
    build_indexes(database, [ON_USER, ON_KIND])
    drop_indexes(database, ["idx_t_user", "idx_never_was"])
    assert index_state(conn, ON_USER) == "absent"
    assert index_state(conn, ON_KIND) == "valid"
