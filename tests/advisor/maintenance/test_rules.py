"""Findings out of figures: what is worth a word, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.advisor.maintenance.autovacuum import waits_for
from perflab.advisor.maintenance.findings import Limits
from perflab.advisor.maintenance.health import PAGE_BYTES, Health, TableHealth
from perflab.advisor.maintenance.rules import inspect

NOW = datetime(2025, 3, 1, tzinfo=UTC)
SETTINGS = {
    "autovacuum": "on",
    "track_counts": "on",
    "autovacuum_vacuum_threshold": "50",
    "autovacuum_vacuum_scale_factor": "0.2",
    "autovacuum_analyze_threshold": "50",
    "autovacuum_analyze_scale_factor": "0.1",
}
FINE = TableHealth(
    name="t",
    rows=10_000,
    pages=100,
    pages_now=100,
    live=10_000,
    analyzed_at=NOW,
    columns=3,
    columns_known=3,
    row_bytes=80.0,
)


def table(**changes: object) -> TableHealth:
    return msgspec.structs.replace(FINE, **changes)


def health(*tables: TableHealth, **changes: object) -> Health:
    whole = Health(tables, SETTINGS, NOW, counting_since=None, oldest_s=0.0)
    return msgspec.structs.replace(whole, **changes)


def test_a_table_in_order_needs_nothing() -> None:
    assert inspect(health(FINE)) == ()
    assert inspect(health()) == ()


@pytest.mark.parametrize(
    ("changes", "listed"),
    [
        ({"changed": 1_999, "rewritten": 1_999}, False),
        ({"changed": 2_000, "rewritten": 2_000}, True),
        ({"rows": 900, "live": 900, "changed": 950, "rewritten": 950}, False),
        # rows that only came make the file grow; if it did not, the counter was late
        ({"changed": 10_000}, False),
        ({"changed": 10_900, "rewritten": 900}, False),
        ({"changed": 10_900, "rewritten": 5_000}, True),
        ({"changed": 10_000, "pages_now": 200}, True),
        ({"pages_now": 9, "pages": 9, "changed": 9_000, "rewritten": 9_000}, False),
        # counters lost: nothing counted, and the file has doubled
        ({"analyzed_at": None, "pages_now": 199}, False),
        ({"analyzed_at": None, "pages_now": 200}, True),
        ({"analyzed_at": None, "rows": -1, "pages": 0, "columns_known": 0}, True),
        ({"analyzed_at": None, "rows": -1, "columns_known": 0, "readable": False}, False),
        ({"analyzed_at": None, "rows": -1, "columns_known": 0, "pages_now": 2}, False),
    ],
)
def test_statistics_are_stale_when_much_changed_and_the_table_is_no_trifle(
    changes: dict[str, object], listed: bool
) -> None:
    found = inspect(health(table(**changes)))

    assert [(f.kind, f.statements) for f in found] == (
        [("stale", ("ANALYZE t",))] if listed else []
    )


def test_who_comes_first_is_said_where_autovacuum_is_due() -> None:
    late = table(changed=5_000, rewritten=5_000)

    (due,) = inspect(health(late))
    (off, _switch) = inspect(
        health(msgspec.structs.replace(late, options={"autovacuum_enabled": "false"}))
    )

    assert "may come first" in due.caution
    assert off.caution == ""


@pytest.mark.parametrize(
    ("live", "dead", "listed"),
    [(10_000, 4_285, False), (10_000, 4_286, True), (100, 900, False), (0, 1_000, True)],
)
def test_dead_rows_are_worth_a_vacuum_from_a_share_and_a_number_on(
    live: int, dead: int, listed: bool
) -> None:
    found = inspect(health(table(live=live, dead=dead)))

    assert [f.statements for f in found] == ([("VACUUM (ANALYZE) t",)] if listed else [])


def test_a_vacuum_that_a_transaction_would_hold_back_says_so() -> None:
    dying = table(dead=9_000)

    (quick,) = inspect(health(dying, oldest_s=599.0))
    (held,) = inspect(health(dying, oldest_s=3_600.0))

    assert "may come first" in quick.caution
    assert "open for 60 minutes" in held.caution


def test_one_vacuum_does_for_dead_rows_old_statistics_and_the_space_it_frees() -> None:
    wreck = table(
        dead=90_000, changed=90_000, rewritten=90_000, pages=9_000, pages_now=9_000, rows=10_000
    )

    (found,) = inspect(health(wreck), counted={"t": 60 * 2**20})

    assert found.kind == "dead"
    assert found.statements == ("VACUUM (ANALYZE) t",)
    assert "90,000 of 100,000 rows are dead" in found.figure
    assert "90,000 rows changed" in found.figure


@pytest.mark.parametrize(
    ("changes", "counted", "listed"),
    [
        # 10,000 rows of 80 bytes fill 99 pages
        ({"pages": 5_000, "pages_now": 5_000}, {}, True),
        ({"pages": 1_000, "pages_now": 1_000}, {}, False),  # 7 MiB are not worth a lock
        ({"pages": 5_000, "pages_now": 5_000, "columns_known": 2}, {}, False),
        ({"pages": 5_000, "pages_now": 5_000}, {"t": 0.39 * 5_000 * PAGE_BYTES}, False),
        ({"pages": 5_000, "pages_now": 5_000}, {"t": 0.41 * 5_000 * PAGE_BYTES}, True),
    ],
)
def test_bloat_is_counted_where_it_can_be_and_estimated_with_more_doubt(
    changes: dict[str, object], counted: dict[str, float], listed: bool
) -> None:
    found = inspect(health(table(**changes)), counted=counted)

    assert [f.kind for f in found] == (["bloat"] if listed else [])
    if listed:
        assert ("counted" in found[0].figure) is bool(counted)


def test_autovacuum_that_is_off_is_told_for_a_table_and_for_the_server() -> None:
    switched = table(options={"autovacuum_enabled": "off"})
    trifle = table(rows=10.0, live=10, options={"autovacuum_enabled": "off"})

    (mine,) = inspect(health(switched))
    everywhere = inspect(health(FINE, settings={**SETTINGS, "autovacuum": "off"}))

    assert mine.statements == ("ALTER TABLE t RESET (autovacuum_enabled)",)
    assert inspect(health(trifle)) == ()
    assert [f.statements[0] for f in everywhere] == ["ALTER SYSTEM SET autovacuum = on"]


def large(rows: float, dying: int = 1, **options: str) -> TableHealth:
    pages = round(rows / 100)
    return table(
        rows=rows, live=round(rows), pages=pages, pages_now=pages, dying=dying, options=options
    )


def test_a_large_table_gets_a_share_that_suits_its_size() -> None:
    (found,) = inspect(health(large(50_000_000)))

    assert found.statements == (
        "ALTER TABLE t SET (autovacuum_vacuum_scale_factor = 0.002,"
        " autovacuum_analyze_scale_factor = 0.002)",
    )
    assert "waits for 10,000,050 changed rows" in found.figure


@pytest.mark.parametrize(
    "at_ease",
    [
        health(large(2_000_000)),  # 400,050 rows: not five times what is wanted
        health(large(50_000_000, dying=0)),  # rows only come
        health(
            large(50_000_000),
            settings={**SETTINGS, "autovacuum_vacuum_max_threshold": "90000"}
            | {"autovacuum_analyze_scale_factor": "0.001"},
        ),
        # 20 rows a day: even a hundred thousand take years
        health(large(50_000_000, dying=20), counting_since=NOW - timedelta(days=1)),
        # 4 million rows an hour: the default already comes every two and a half hours
        health(large(15_000_000, dying=4_000_000), counting_since=NOW - timedelta(hours=1)),
    ],
)
def test_a_table_that_autovacuum_serves_well_needs_no_setting(at_ease: Health) -> None:
    assert inspect(at_ease) == ()


def test_the_pace_is_that_between_two_looks() -> None:
    earlier = health(large(50_000_000, dying=7_000_000), taken_at=NOW - timedelta(hours=2))
    idle, busy = large(50_000_000, dying=7_000_000), large(50_000_000, dying=9_000_000)

    assert inspect(health(idle), earlier=earlier) == ()
    (found,) = inspect(health(busy), earlier=earlier)
    assert "0.4 days' worth" in found.figure  # 10 million at a million an hour


@given(
    rows=st.floats(3e6, 1e10),
    dying=st.integers(1, 10**9),
    hours=st.one_of(st.none(), st.floats(0.1, 1e4)),
)
def test_advice_that_was_followed_is_not_given_again(
    rows: float, dying: int, hours: float | None
) -> None:
    since = None if hours is None else NOW - timedelta(hours=hours)
    for finding in inspect(health(large(rows, dying), counting_since=since)):
        settings = finding.statements[0].partition("SET (")[2].removesuffix(")")
        options = dict(pair.split(" = ") for pair in settings.split(", "))
        followed = large(rows, dying, **options)

        assert inspect(health(followed, counting_since=since)) == ()
        assert waits_for(followed, SETTINGS, "vacuum") < waits_for(large(rows), SETTINGS, "vacuum")


def test_the_most_urgent_comes_first_and_limits_can_be_moved() -> None:
    tables = (
        msgspec.structs.replace(large(50_000_000), name="a"),
        msgspec.structs.replace(table(changed=3_000, rewritten=3_000), name="b"),
        msgspec.structs.replace(table(changed=9_000, rewritten=9_000), name="c"),
        msgspec.structs.replace(table(dead=9_000), name="d"),
    )

    found = inspect(health(*tables))
    fewer = inspect(health(*tables), Limits(dead_share=0.9, changed_share=0.5))

    assert [f.table for f in found] == ["d", "c", "b", "a"]
    assert [f.table for f in fewer] == ["c", "a"]
