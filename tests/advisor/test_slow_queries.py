from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from perflab.advisor.advice import plannable, statements_of
from perflab.advisor.errors import AdvisorError
from perflab.advisor.slow_queries import Thresholds, slow_queries
from perflab.advisor.statement_stats import Counters, Seen, Snapshot, difference, take_snapshot

QUIET = Thresholds(
    mean_ms=math.inf,
    share_percent=math.inf,
    buffers_per_call=math.inf,
    temp_blocks_per_call=math.inf,
)


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as opened:
        opened.execute("CREATE EXTENSION pg_stat_statements")
        opened.execute(
            "CREATE TABLE people AS SELECT n AS id, 'person ' || n AS name, n % 7 AS team"
            " FROM generate_series(1, 5000) n"
        )
        opened.execute("ANALYZE people")
        yield opened


def seen(query_id: int, calls: int, ms: float, plan: str = "") -> Seen:
    return Seen(query_id, f"SELECT {query_id}", Counters(calls, ms, calls, 10 * calls), plan)


def snapshot(*statements: Seen, second: int = 0, others_ms: float = 0.0) -> Snapshot:
    return Snapshot(
        taken_at=datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=second),
        database="d",
        statements={one.query_id: one for one in statements},
        others_ms=others_ms,
        evictions=0,
    )


def test_only_what_ran_between_the_snapshots_counts(conn: psycopg.Connection) -> None:
    old, new = "SELECT count(*) FROM people", "SELECT name FROM people WHERE team = 3"
    conn.execute(old)
    before = take_snapshot(conn)
    for _ in range(3):
        conn.execute(new)

    between = difference(before, take_snapshot(conn))

    counted = {s.text: s.counters for s, _earlier in between.statements if "people" in s.text}
    assert list(counted) == ["SELECT name FROM people WHERE team = $1"]
    (growth,) = counted.values()
    assert (growth.calls, growth.rows) == (3, 3 * 714)
    assert growth.buffers > 0


def test_values_and_comments_are_never_in_a_snapshot(conn: psycopg.Connection) -> None:
    conn.execute("/* asked by ada */ SELECT id FROM people WHERE name = 'Ada Lovelace' -- secret")
    conn.execute("CREATE ROLE perflab_test_role PASSWORD 'hush'")
    conn.execute("DROP ROLE perflab_test_role")

    held = repr(take_snapshot(conn))

    assert "SELECT id FROM people WHERE name = $1" in held
    for private in ("Lovelace", "ada", "secret", "hush"):
        assert private not in held


def test_a_statement_that_groups_by_position_has_a_plan_and_is_advised_on(
    conn: psycopg.Connection,
) -> None:
    conn.execute("SELECT team, count(*) FROM people WHERE id > 17 GROUP BY 1 /* for ada */")

    found = take_snapshot(conn)

    (seen,) = (s for s in found.statements.values() if "people" in s.text)
    assert seen.text == "SELECT team, count(*) FROM people WHERE id > $1 GROUP BY ?"
    assert seen.plan_summary == "Seq Scan (people)"
    (statement,) = (s for s in statements_of(found) if "people" in s.text)
    assert plannable(conn, [statement]) == ((statement,), ())
    assert "ada" not in repr(found)
    # and what only reads the catalog is nobody's workload
    conn.execute("SELECT relname FROM pg_catalog.pg_class WHERE relpages > 5")
    assert not [s for s in statements_of(take_snapshot(conn)) if "relpages" in s.text]


def test_a_statement_that_sorts_on_disk_is_slow_for_its_temporary_files(
    conn: psycopg.Connection,
) -> None:
    conn.execute("SET work_mem = '64kB'")
    before = take_snapshot(conn)
    for _ in range(2):
        conn.execute("SELECT name FROM people ORDER BY name")

    thresholds = Thresholds(mean_ms=math.inf, share_percent=math.inf, buffers_per_call=math.inf)
    (slow,) = slow_queries(difference(before, take_snapshot(conn)), thresholds)

    assert slow.text == "SELECT name FROM people ORDER BY name"
    assert slow.temp_blocks_per_call
    assert slow.temp_blocks_per_call >= 1
    (reason,) = slow.reasons
    assert "temporary files" in reason


def test_an_index_flips_the_plan_and_the_flip_is_told(conn: psycopg.Connection) -> None:
    def ask() -> None:
        for team in (1, 2):
            conn.execute("SELECT name FROM people WHERE id = %s", [team])

    ask()
    before = take_snapshot(conn)
    ask()
    assert not slow_queries(difference(before, take_snapshot(conn)), QUIET)

    conn.execute("CREATE INDEX ON people (id)")
    ask()
    (slow,) = slow_queries(difference(before, take_snapshot(conn)), QUIET)

    assert slow.flipped
    assert slow.plan_before != slow.plan
    assert "people_id_idx" in slow.plan_summary
    assert slow.reasons == ("its plan changed",)


def test_a_snapshot_changes_nothing_even_where_a_statement_writes(
    conn: psycopg.Connection,
) -> None:
    conn.execute("UPDATE people SET team = 0 WHERE id = 1")

    found = take_snapshot(conn).statements.values()

    (update,) = (s for s in found if s.text.startswith("UPDATE people"))
    assert update.plan
    count = conn.execute("SELECT count(*) FROM people WHERE team = 0 AND id = 1").fetchone()
    assert count == (1,)
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_without_the_extension_one_line_says_what_to_do(database: str) -> None:
    with (
        psycopg.connect(database, autocommit=True) as conn,
        pytest.raises(AdvisorError, match="CREATE EXTENSION pg_stat_statements"),
    ):
        take_snapshot(conn)


def test_statistics_that_were_reset_count_from_zero() -> None:
    before, after = snapshot(seen(1, 100, 500.0)), snapshot(seen(1, 4, 8.0), second=60)

    between = difference(before, after)

    ((growth, _earlier),) = between.statements
    assert (growth.counters.calls, growth.counters.total_ms) == (4, 8.0)
    assert between.seconds == 60


def test_shares_are_of_everything_that_ran() -> None:
    before = snapshot(others_ms=100.0)
    after = snapshot(seen(1, 2, 300.0), seen(2, 2, 100.0), others_ms=700.0)

    slow = slow_queries(difference(before, after), Thresholds(share_percent=25, mean_ms=1e9))

    assert [(s.query_id, s.share_percent) for s in slow] == [(1, 30.0)]


@pytest.mark.parametrize(("calls", "listed"), [(1, False), (2, True)])
def test_a_statement_called_once_is_left_out(calls: int, listed: bool) -> None:
    between = difference(snapshot(), snapshot(seen(1, calls, 900.0 * calls)))

    assert bool(slow_queries(between)) is listed


def test_snapshots_of_two_databases_are_refused() -> None:
    import msgspec

    other = msgspec.structs.replace(snapshot(), database="e")
    with pytest.raises(AdvisorError, match="'d' and 'e'"):
        difference(snapshot(), other)
