"""Single calls: percentiles, plans that ran, and who may count them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from perflab.advisor.auto_explain import read_log, watched
from perflab.advisor.calls import CallLog
from perflab.advisor.client_side import numbered, recording_async_cursor, recording_cursor
from perflab.advisor.errors import AdvisorError
from perflab.advisor.identity import statement_key
from perflab.advisor.slow_queries import Thresholds, slow_calls, slow_queries
from perflab.advisor.statement_stats import difference, take_snapshot
from perflab.services import Postgres
from perflab.services.embedded.postgres import EmbeddedPostgres

TEXT = "SELECT name FROM people WHERE id = %s"
KEY = statement_key("SELECT name FROM people WHERE id = 1")


@pytest.fixture
def people(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION pg_stat_statements")
        conn.execute(
            "CREATE TABLE people AS SELECT n AS id, 'person ' || n AS name"
            " FROM generate_series(1, 5000) n"
        )
        conn.execute("INSERT INTO people SELECT 0, 'nobody' FROM generate_series(1, 5000)")
        conn.execute("CREATE INDEX ON people (id)")
        conn.execute("ANALYZE people")
    return database


def log(*durations_ms: float) -> CallLog:
    calls = CallLog()
    for duration in durations_ms:
        calls.add("SELECT 1", duration)
    return calls


@pytest.mark.parametrize(
    ("durations", "p95"),
    [
        (range(1, 20), None),
        (range(1, 21), 19.0),
        (range(100, 0, -1), 95.0),
        ([1.0] * 95 + [9.0] * 5, 1.0),
        ([1.0] * 94 + [9.0] * 6, 9.0),
    ],
)
def test_a_p95_is_a_call_that_was_seen_and_needs_twenty(
    durations: Iterator[float], p95: float | None
) -> None:
    assert log(*durations).p95_ms(statement_key("SELECT 1")) == p95


def test_of_very_many_calls_a_fair_sample_is_kept() -> None:
    calls = log(*([1.0] * 50_000 + [9.0] * 50_000))

    (seen,) = calls.statements()

    assert (seen.counters.calls, seen.counters.total_ms) == (100_000, 500_000.0)
    assert calls.sampled(seen.key) == 10_000
    kept = calls._statements[seen.key].durations_ms
    assert sum(kept) / len(kept) == pytest.approx(5, abs=0.2)


def test_statements_that_differ_in_values_are_one_and_keep_none() -> None:
    calls = CallLog()
    calls.add("SELECT name FROM people WHERE id = 4711 AND name = 'Ada' -- for ada", 1.0)
    calls.add("select name from people where id = $1 and name = 'Bob'", 2.0)

    (seen,) = calls.statements()

    assert seen.text == "SELECT name FROM people WHERE id = ? AND name = ?"
    assert seen.counters.calls == 2


def test_statements_without_end_are_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflab.advisor.calls._STATEMENTS", 3)
    monkeypatch.setattr("perflab.advisor.calls._TEXTS", 4)
    calls = CallLog()
    for number in range(6):
        calls.add(f"SELECT c{number}", 1.0)
        calls.add("SELECT c0", 1.0)

    assert [(s.text, s.counters.calls) for s in calls.statements()] == [
        ("SELECT c0", 7), ("SELECT c1", 1), ("SELECT c2", 1),
    ]  # fmt: skip
    assert calls.forgotten == 3


def test_a_watched_connection_tells_plans_and_durations_of_its_own_statements(people: str) -> None:
    calls = CallLog()
    with psycopg.connect(people, autocommit=True) as conn:
        before = take_snapshot(conn)
        with watched(conn, calls):
            for number in range(25):
                conn.execute(f"SELECT name FROM people WHERE id = {number}")  # 0 is half of all
        conn.execute("SELECT name FROM people WHERE id = 7")
        limits = Thresholds(mean_ms=0.0)
        found = slow_queries(difference(before, take_snapshot(conn)), limits, calls)

    (slow,) = (one for one in found if "people" in one.text)
    assert (slow.calls, slow.sampled, slow.plans) == (26, 25, 2)
    assert slow.plan_summary == "Index Scan (people_id_idx)"
    assert slow.p95_ms is not None
    assert "its calls ran with 2 plans" in slow.reasons
    assert sorted((p.summary, p.calls) for p in calls.plans(KEY)) == [
        ("Index Scan (people_id_idx)", 24),
        ("Seq Scan (people)", 1),
    ]


def test_a_watch_ends_and_leaves_the_session_as_it_was(people: str) -> None:
    shown = "SELECT name, setting FROM pg_settings WHERE name LIKE 'auto_explain.%' ORDER BY 1"
    calls = CallLog()
    with psycopg.connect(people, autocommit=True) as conn:
        conn.execute("LOAD 'auto_explain'")
        before = conn.execute(shown).fetchall()
        with watched(conn, calls):
            assert conn.execute(shown).fetchall() != before
        assert conn.execute(shown).fetchall() == before
    with psycopg.connect(people) as conn, pytest.raises(psycopg.Error), watched(conn, calls):
        conn.execute("SELECT 1 / 0")  # the error comes through, not one about what follows it

    (seen,) = calls.statements()
    assert seen.text.startswith("SELECT name, setting FROM pg_settings")


def test_a_quick_statement_with_a_plan_for_each_value_is_not_slow(people: str) -> None:
    calls = CallLog()
    calls.add(TEXT.replace("%s", "1"), 0.1, plan="a", summary="Index Scan (i)")
    calls.add(TEXT.replace("%s", "2"), 0.1, plan="b", summary="Seq Scan (people)")

    assert slow_calls(calls, Thresholds(share_percent=101)) == ()


def test_values_and_parameters_are_in_nothing_that_is_kept(people: str) -> None:
    calls = CallLog()
    with psycopg.connect(people, autocommit=True) as conn, watched(conn, calls):
        conn.execute("SELECT id FROM people WHERE name = 'Ada Lovelace' /* ada */")
        conn.execute("SELECT id FROM people WHERE name = %s", ["Grace Hopper"], prepare=True)

    held = repr(calls._statements)
    assert "people" in held
    for private in ("Lovelace", "ada", "Grace"):
        assert private not in held


def test_where_auto_explain_cannot_be_set_one_line_says_so(people: str) -> None:
    with psycopg.connect(people, autocommit=True) as conn:
        conn.execute("CREATE ROLE perflab_test_watcher; SET ROLE perflab_test_watcher")
        try:
            with (
                pytest.raises(AdvisorError, match="auto_explain cannot be used here"),
                watched(conn, CallLog()),
            ):
                pass
        finally:
            conn.execute("RESET ROLE; DROP ROLE perflab_test_watcher")


LOG = """\
2025-03-01 12:00:00.000 UTC [77] LOG:  duration: 12.500 ms  plan:
\t{
\t  "Query Text": "SELECT name\\n\\tFROM people WHERE id = 4711",
\t  "Plan": {
\t    "Node Type": "Seq Scan", "Relation Name": "people", "Plan Rows": 1,
\t    "Filter": "(id = 4711)"
\t  }
\t}
2025-03-01 12:00:01.000 UTC [77] LOG:  checkpoint starting: time
2025-03-01 12:00:01.500 UTC [78] LOG:  duration: 3.000 ms
2025-03-01 12:00:02.000 UTC [77] LOG:  duration: 0.250 ms  plan:
\tQuery Text: SELECT 1
2025-03-01 12:00:02.000 UTC [77] LOG:  duration: 0.500 ms  plan:
\t{"Query Text": "SELECT name FROM people WHERE id = 5",
\t "Plan": {"Node Type": "Index Scan", "Index Name": "i", "Plan Rows": 1}}
2025-03-01 12:00:03.000 UTC [77] LOG:  duration: 9.000 ms  plan:
\t{"Query Text": "SELECT cut off
"""


def test_a_servers_log_is_read_and_what_is_no_plan_passed_over(tmp_path: Path) -> None:
    calls, path = CallLog(), tmp_path / "postgres.log"
    path.write_text(LOG)

    assert read_log(path, calls) == 2

    (seen,) = calls.statements()
    assert (seen.key, seen.counters.calls, seen.counters.total_ms) == (KEY, 2, 13.0)
    assert {plan.summary for plan in calls.plans(KEY)} == {"Seq Scan (people)", "Index Scan (i)"}
    assert "4711" not in repr(calls._statements)
    with pytest.raises(AdvisorError, match="cannot be read"):
        read_log(tmp_path / "absent", calls)


def test_an_embedded_servers_own_log_is_one_of_these(postgres: Postgres, people: str) -> None:
    control = postgres.control
    assert isinstance(control, EmbeddedPostgres)
    mark = f"c{secrets.token_hex(4)}"
    with psycopg.connect(people, autocommit=True) as conn:
        conn.execute("LOAD 'auto_explain'; SET auto_explain.log_format = json")
        conn.execute("SET auto_explain.log_min_duration = 0")
        for number in (5, 6):
            conn.execute(f"SELECT id AS {mark}\n\tFROM people\n\tWHERE id = {number}")
    calls = CallLog()

    assert read_log(control.site.log, calls) >= 2

    (seen,) = (seen for seen in calls.statements() if mark in seen.text)
    assert (seen.text, seen.counters.calls) == (f"SELECT id AS {mark} FROM people WHERE id = ?", 2)
    assert [plan.calls for plan in calls.plans(seen.key)] == [2]


def test_a_clients_statements_are_timed_where_the_server_counts_none(people: str) -> None:
    calls, ticks = CallLog(), iter(range(1_000))
    factory = recording_cursor(calls, clock=lambda: next(ticks) / 10)
    with psycopg.connect(people, autocommit=True, cursor_factory=factory) as conn:
        for number in range(20):
            assert conn.execute(TEXT, [4711 + number]).fetchone()
        conn.execute(sql.SQL("SELECT {} FROM people WHERE id = 3 % 2").format(sql.Identifier("id")))
        with pytest.raises(psycopg.errors.UndefinedTable):
            conn.execute("SELECT * FROM nowhere")

    assert {(seen.text, seen.counters.calls) for seen in calls.statements()} == {
        ("SELECT name FROM people WHERE id = $1", 20),
        ('SELECT "id" FROM people WHERE id = ? % ?', 1),
    }
    (slow,) = slow_calls(calls)
    assert (slow.calls, slow.rows_per_call) == (20, 1)
    assert (slow.mean_ms, slow.p95_ms) == pytest.approx((100, 100))
    assert (slow.buffers_per_call, slow.temp_blocks_per_call) == (None, None)
    assert "4711" not in repr(calls._statements)


def test_an_asynchronous_client_is_timed_too(people: str) -> None:
    calls = CallLog()

    async def ask() -> None:
        connected = await psycopg.AsyncConnection.connect(
            people, autocommit=True, cursor_factory=recording_async_cursor(calls)
        )
        async with connected as conn:
            await conn.execute(b"SELECT name FROM people WHERE id = %(id)s", {"id": 1})

    asyncio.run(ask())

    (seen,) = calls.statements()
    assert (seen.text, seen.counters.calls) == ("SELECT name FROM people WHERE id = $1", 1)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("a = %s AND b = %s", "a = $1 AND b = $2"),
        ("a = %(x)s OR b = %(y)s OR c = %(x)s", "a = $1 OR b = $2 OR c = $1"),
        ("a %% 2 = %s", "a % 2 = $1"),
    ],
)
def test_placeholders_become_the_servers_own(text: str, becomes: str) -> None:
    assert numbered(text) == becomes
