"""The state of real tables: what a server's own catalogs and counters say of them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import psycopg
import pytest

from perflab.advisor.maintenance.findings import Finding, Limits
from perflab.advisor.maintenance.health import Health, read_health
from perflab.advisor.maintenance.rules import inspect
from perflab.advisor.maintenance.space import wasted_bytes


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    """On a database with one table that nobody else looks after."""
    with psycopg.connect(database, autocommit=True) as opened:
        opened.execute("CREATE TABLE t (id int, note text) WITH (autovacuum_enabled = off)")
        yield opened


def fill(conn: psycopg.Connection, rows: int) -> None:
    conn.execute("INSERT INTO t SELECT n, repeat('x', 80) FROM generate_series(1, %s) n", [rows])


def state(conn: psycopg.Connection) -> Health:
    conn.execute("SELECT pg_stat_force_next_flush()")
    return read_health(conn)


def told(conn: psycopg.Connection, counted: bool = False) -> dict[str, Finding]:
    """Findings by kind, but for the switch of these tests' own table."""
    found = state(conn)
    space = wasted_bytes(conn, found) if counted else {}
    return {f.kind: f for f in inspect(found, counted=space) if f.kind != "off"}


def test_a_table_analysed_by_the_session_that_loaded_it_needs_nothing(
    conn: psycopg.Connection,
) -> None:
    fill(conn, 5_000)
    conn.execute("ANALYZE t")  # the session's counters reach the server only now

    assert state(conn).tables[0].changed == 5_000
    assert told(conn) == {}


def test_what_is_stale_is_found_and_its_own_statement_mends_it(conn: psycopg.Connection) -> None:
    fill(conn, 5_000)
    assert "never analysed" in told(conn)["stale"].figure
    conn.execute(told(conn)["stale"].statements[0].encode())
    assert told(conn) == {}

    fill(conn, 5_000)
    assert "5,000 rows changed" in told(conn)["stale"].figure
    conn.execute(told(conn)["stale"].statements[0].encode())
    assert told(conn) == {}


def test_dead_rows_and_then_the_space_they_leave(conn: psycopg.Connection) -> None:
    fill(conn, 100_000)
    conn.execute("VACUUM (ANALYZE) t")
    assert told(conn, counted=True) == {}
    conn.execute("DELETE FROM t WHERE id % 10 > 0")

    assert list(told(conn, counted=True)) == ["dead"]
    conn.execute(told(conn)["dead"].statements[0].encode())
    assert list(told(conn, counted=True)) == ["bloat"]
    assert "counted" in told(conn, counted=True)["bloat"].figure
    assert "estimated" in told(conn)["bloat"].figure

    conn.execute(told(conn)["bloat"].statements[0].encode())
    assert told(conn, counted=True) == told(conn) == {}


def test_the_estimate_of_pages_is_near_where_nothing_is_wasted(conn: psycopg.Connection) -> None:
    conn.execute("ALTER TABLE t SET (fillfactor = 70)")
    fill(conn, 20_000)
    conn.execute("ANALYZE t")

    (table,) = state(conn).tables

    assert table.expected_pages == pytest.approx(table.pages_now, rel=0.05)
    assert wasted_bytes(conn, state(conn))["t"] == pytest.approx(
        0, abs=0.05 * table.pages_now * 8192
    )


@pytest.mark.parametrize("counted", [False, True], ids=["estimated", "counted"])
def test_a_bloated_index_is_found_and_is_small_again_when_it_was_made_anew(
    conn: psycopg.Connection, counted: bool
) -> None:
    conn.execute(
        "CREATE TABLE kept (id int PRIMARY KEY, word text) WITH (autovacuum_enabled = off);"
        "INSERT INTO kept SELECT n, 'w' || n FROM generate_series(1, 200000) n;"
        "CREATE INDEX kept_word ON kept (lower(word) text_pattern_ops)"
    )
    conn.execute("DELETE FROM kept WHERE id % 10 > 0")
    state(conn)  # which the counters reach before VACUUM does
    conn.execute("VACUUM (ANALYZE) kept")
    small = Limits(wasted_bytes=2**20)

    def found() -> dict[str, Finding]:
        now = state(conn)
        # as if the table's own space were all used: of the two, VACUUM FULL would do both
        tables = tuple(msgspec.structs.replace(t, pages=0, rows=-1.0) for t in now.tables)
        alone = msgspec.structs.replace(now, tables=tables)
        space = wasted_bytes(conn, alone) if counted else {}
        space = {name: n for name, n in space.items() if name in {i.name for i in now.indexes}}
        return {f.index: f for f in inspect(alone, small, space) if f.kind == "index bloat"}

    def pages() -> dict[str, int]:
        return {index.name: index.pages_now for index in state(conn).indexes}

    told, before = found(), pages()
    assert told.keys() == {"kept_pkey", "kept_word"}
    assert all(("counted" if counted else "estimated") in one.figure for one in told.values())
    assert inspect(state(conn), small)[0].kind == "bloat"  # and no word of its indexes
    for one in told.values():
        conn.execute(one.statements[0].encode())

    assert found() == {}
    assert all(pages()[name] < before[name] / 5 for name in before)


@pytest.mark.parametrize(
    "keys",
    ["id", "note", "id, note", "lower(note)", "id) WHERE (id % 4 = 0", "(id % 7)", "empty"],
)
@pytest.mark.parametrize("order", ["n", "hashint4(n)"], ids=["in order", "at random"])
def test_no_index_looks_bloated_that_was_only_filled(
    conn: psycopg.Connection, keys: str, order: str
) -> None:
    conn.execute("CREATE TABLE filled (id int, note text, empty int)")
    conn.execute(f"CREATE INDEX filled_keys ON filled ({keys})".encode())
    conn.execute(
        "INSERT INTO filled SELECT n, 'note ' || n, NULL"
        f" FROM (SELECT n FROM generate_series(1, 50000) n ORDER BY {order}) q".encode()
    )
    conn.execute("VACUUM (ANALYZE) filled")
    now = state(conn)

    assert [index.columns_known for index in now.indexes] == [keys.count(", ") + 1]
    assert inspect(now, Limits(wasted_bytes=1.0), wasted_bytes(conn, now, 1.0)) == ()
    assert inspect(now, Limits(wasted_bytes=1.0)) == ()


@pytest.mark.parametrize(
    "columns",
    [
        "n, n % 2 = 0 AS a, n::bigint AS b, n % 3 = 0 AS c, n::bigint AS d",  # padding between
        "n, CASE WHEN n % 2 = 0 THEN 'x' || n END AS a, CASE WHEN n % 3 = 0 THEN n END AS b",
        "n, jsonb_build_object('a', repeat(md5(n::text), 20 + n % 300)) AS kept_elsewhere",
        "n, (SELECT string_agg(md5((n + g)::text), '') FROM generate_series(1, 80) g) AS large",
        "n::smallint AS small",
    ],
)
def test_no_new_table_looks_bloated_whatever_its_rows_are_like(
    conn: psycopg.Connection, columns: str
) -> None:
    conn.execute(f"CREATE TABLE new AS SELECT {columns} FROM generate_series(1, 4000) n".encode())
    conn.execute("VACUUM (ANALYZE) new")

    (new,) = (table for table in state(conn).tables if table.name == "new")

    assert new.expected_pages
    assert 1 - new.expected_pages / new.pages < 0.25


def test_autovacuum_that_is_off_is_found_and_switched_on(conn: psycopg.Connection) -> None:
    fill(conn, 2_000)
    conn.execute("ANALYZE t")

    (off,) = inspect(state(conn))
    assert off.kind == "off"
    conn.execute(off.statements[0].encode())

    assert inspect(state(conn)) == ()


def test_settings_of_autovacuum_are_taken_by_the_server_and_asked_for_once(
    conn: psycopg.Connection,
) -> None:
    conn.execute("ALTER TABLE t RESET (autovacuum_enabled)")
    fill(conn, 20_000)
    conn.execute("VACUUM (ANALYZE) t")
    conn.execute("DELETE FROM t WHERE id = 1")
    limits = Limits(waiting_rows=400)

    (late,) = inspect(state(conn), limits)
    assert late.kind == "autovacuum"
    assert "autovacuum waits for 4,050 changed rows of 20,000" in late.figure
    conn.execute(late.statements[0].encode())

    assert inspect(state(conn), limits) == ()


def test_a_transaction_that_holds_vacuum_back_is_seen(
    conn: psycopg.Connection, database: str
) -> None:
    with psycopg.connect(database) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("SELECT 1")

        assert state(conn).oldest_s > 0


def test_who_may_not_read_a_table_is_not_told_that_it_was_never_analysed(
    conn: psycopg.Connection,
) -> None:
    fill(conn, 5_000)
    conn.execute("VACUUM (ANALYZE) t")
    conn.execute("SELECT pg_stat_reset()")
    conn.execute("CREATE ROLE perflab_test_stranger; SET ROLE perflab_test_stranger")
    try:
        (table,) = read_health(conn).tables
        assert (table.columns_known, table.readable) == (0, False)
        assert [f.kind for f in inspect(read_health(conn))] == ["off"]
        assert wasted_bytes(conn, read_health(conn), least_bytes=0) == {}
    finally:
        conn.execute("RESET ROLE; DROP ROLE perflab_test_stranger")


def test_reading_the_state_writes_nothing(conn: psycopg.Connection) -> None:
    fill(conn, 5_000)
    conn.execute("SET default_transaction_read_only = on")

    assert [table.name for table in read_health(conn).tables] == ["t"]
