from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest

from perflab.advisor import proof
from perflab.advisor.advice import Advice, advise, plannable
from perflab.advisor.candidates import Candidate
from perflab.advisor.catalog import read_catalog
from perflab.advisor.errors import StatementError
from perflab.advisor.guest import guest_on
from perflab.advisor.selection import Choice, Selection
from perflab.advisor.timed import timed_statement
from perflab.advisor.whatif import built_in_transaction
from perflab.advisor.workload import Statement, parse_workload
from perflab.database.index_builder import drop_indexes
from perflab.database.own import Databases
from perflab.database.plans import explain
from perflab.database.session import Session
from perflab.measure.statistics import Interval
from perflab.profiles import AdvisorSizes
from perflab.services import Postgres
from perflab.studies.advisor.strangers import STRANGERS

from .conftest import SHOP

SIZES = AdvisorSizes(users=1, examples=1, rounds=20, calls=1, write_rows=50, write_rounds=20)
TELLERS = """
    CREATE TABLE pgbench_tellers (tid int NOT NULL, bid int, tbalance int, filler char(84));
    INSERT INTO pgbench_tellers SELECT n, 1, 0, '' FROM generate_series(1, 5000) n;
    ANALYZE;
"""


@pytest.fixture
def databases(postgres: Postgres) -> Iterator[Databases]:
    made = Databases(postgres)
    yield made
    made.close()


def make(databases: Databases, script: str) -> tuple[str, str]:
    label = f"advisor_{secrets.token_hex(3)}"
    with psycopg.connect(databases.create(label), autocommit=True) as conn:
        conn.execute(script.encode())
    return databases.conninfo(label), databases.clone(label, f"{label}_advised")


def advise_on(conninfo: str, text: str) -> Advice:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        catalog = read_catalog(conn)
        statements, _unplanned = plannable(conn, parse_workload(text).statements)
    with built_in_transaction(conninfo) as what_if:
        return advise(statements, catalog, what_if)


def pages(conninfo: str, statements: tuple[Statement, ...]) -> int:
    """8 kB pages that a workload looks at; counts, where times would be noise."""
    total = 0
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for statement in statements:
            with conn.transaction(force_rollback=True):
                plan = explain(conn, statement.planned[0], {})
            total += plan.shared_hit + plan.shared_read
    return total


@pytest.mark.parametrize(
    ("stranger", "indexes"),
    list(zip(STRANGERS, (1, 1, 0), strict=True)),
    ids=[name for name, _script, _workload in STRANGERS],
)
def test_schemas_it_was_not_written_for_need_a_fifth_of_the_pages_afterwards(
    databases: Databases, stranger: tuple[str, str, str], indexes: int
) -> None:
    _name, script, workload = stranger
    before, after = make(databases, f"{script}; ANALYZE")

    advice = advise_on(before, workload)
    report = proof.build_chosen(after, advice.selection)

    assert not report.failed
    assert len(report.built) == len(advice.selection.chosen) == indexes
    if indexes:
        assert pages(after, advice.statements) < pages(before, advice.statements) / 5


def test_a_proof_keeps_what_helps_and_drops_what_nothing_uses(databases: Databases) -> None:
    before, after = make(databases, SHOP)
    advice = advise_on(
        before, "-- name: recent\nSELECT total FROM orders WHERE customer_id = 77 AND total > 3"
    )
    idle = Choice(Candidate("orders", ("filler",)), ("recent",), 50.0, 0)
    chosen = (*advice.selection.chosen, idle)
    selection = Selection(chosen, (), 1.0, 1.0, {})
    timed = [one for s in advice.statements if (one := timed_statement(s))]
    places = "SELECT md5(string_agg(ctid::text, ',' ORDER BY id)) FROM orders"
    with psycopg.connect(after, autocommit=True) as conn:
        placed = conn.execute(places).fetchone()

    report = proof.build_chosen(after, selection)
    proved = proof.prove(
        before, after, timed, advice.statements, selection, report, advice.catalog, SIZES, 1
    )

    (kept,) = proved.kept
    assert kept.choice.candidate.keys[0] == "customer_id"
    assert kept.faster == ("recent",)
    (dropped,) = proved.dropped
    assert (dropped.candidate, dropped.reason) == (
        idle.candidate,
        "no statement uses it once it is built",
    )
    with psycopg.connect(after, autocommit=True) as conn:
        there = {index.name for index in read_catalog(conn).by_name["orders"].indexes}
        assert there == {"orders_pkey", kept.choice.candidate.name}
        # writes were rolled back
        assert conn.execute(places).fetchone() == placed
        assert conn.execute("SELECT count(*), sum(total) FROM orders").fetchone() == (
            20000,
            4990000,
        )
    (write,) = proved.writes
    assert write.table == "orders"
    assert write.wal_after > write.wal_before > 0
    assert isinstance(write.comparison.mean, Interval)
    candidate = kept.choice.candidate
    assert set(write.no_longer_hot) == {*candidate.keys, *candidate.include}


def test_an_index_that_misleads_the_planner_is_found_by_leaving_it_out(
    databases: Databases,
) -> None:
    """Few rows carry the label, all of them old: newest first, the planner reads nearly all."""
    script = SHOP + (
        "UPDATE orders SET labels = ARRAY['odd'] WHERE id <= 600;"
        "UPDATE orders SET labels = ARRAY['one'] WHERE id = 700; ANALYZE orders;"
    )
    before, after = make(databases, script)
    (statement,) = parse_workload(
        "SELECT id FROM orders WHERE labels @> ARRAY['odd'] ORDER BY placed_at DESC LIMIT 5;"
        "SELECT id FROM orders WHERE labels @> ARRAY['one'] ORDER BY placed_at DESC LIMIT 5"
    ).statements
    chosen = (
        Choice(Candidate("orders", ("labels",), method="gin"), (statement.name,), 50.0, 0),
        Choice(Candidate("orders", ("placed_at",)), (statement.name,), 10.0, 0),
    )
    selection = Selection(chosen, (), 1.0, 1.0, {})
    report = proof.build_chosen(after, selection)
    assert proof.used_indexes(after, [statement]) == {
        statement.name: frozenset(choice.candidate.name for choice in chosen)
    }
    timed = timed_statement(statement)
    assert timed is not None
    with psycopg.connect(before, autocommit=True) as conn:
        catalog = read_catalog(conn)

    proved = proof.prove(
        before, after, [timed], [statement], selection, report, catalog, SIZES, 1,
        copy=lambda conninfo: databases.clone(databases.label(conninfo), "advisor_without"),
    )  # fmt: skip

    assert [one.choice for one in proved.kept] == [chosen[0]]
    # the writes that were measured leave nothing behind that readers of the index would pay for
    fresh = databases.clone(databases.label(before), "advisor_fresh")
    proof.build_chosen(fresh, Selection(chosen[:1], (), 1.0, 1.0, {}))
    assert pages(after, (statement,)) <= pages(fresh, (statement,)) + 3


def test_an_index_is_contested_where_it_never_serves_alone() -> None:
    a, b, c = (Choice(Candidate("t", (key,)), (), 1.0, 0) for key in "abc")
    other = Choice(Candidate("u", ("x",)), (), 1.0, 0)
    names = {
        key: choice.candidate.name for key, choice in zip("abcu", (a, b, c, other), strict=True)
    }

    used = {
        "both": frozenset([names["a"], names["b"]]),
        "alone": frozenset([names["a"], names["u"], "t_pkey"]),
    }

    assert proof.contested((a, b, c, other), used) == (b,)


def test_an_index_off_the_search_path_is_built_used_and_dropped(databases: Databases) -> None:
    before, after = make(
        databases,
        'CREATE SCHEMA "Back"; CREATE TABLE "Back".room AS SELECT n, n % 900 AS kind'
        ' FROM generate_series(1, 30000) n; ANALYZE "Back".room',
    )
    advice = advise_on(before, 'SELECT n FROM "Back".room WHERE kind = 7')
    (choice,) = advice.selection.chosen

    report = proof.build_chosen(after, advice.selection)
    again = proof.build_chosen(after, advice.selection)

    assert not report.failed
    assert again.skipped == (choice.candidate.name,)
    assert proof.used_indexes(after, advice.statements) == {
        "statement_1": frozenset([choice.candidate.name])
    }
    drop_indexes(after, [choice.candidate.spec().path])
    assert proof.used_indexes(after, advice.statements) == {"statement_1": frozenset()}


def test_a_write_of_a_workload_is_timed_and_taken_back(databases: Databases) -> None:
    before, _after = make(databases, TELLERS)
    statement = parse_workload("UPDATE pgbench_tellers SET tbalance = 9 WHERE tid = 1").statements[
        0
    ]
    timed = timed_statement(statement)
    assert timed is not None

    with Session(before) as session:
        assert timed.run(session, {"example": 0}) == 1
        found = session.conn.execute("SELECT sum(tbalance) FROM pgbench_tellers").fetchone()

    assert found == (0,)


def test_a_statement_without_values_cannot_be_timed() -> None:
    assert timed_statement(Statement("s", "SELECT * FROM orders WHERE id = $1")) is None


def test_a_guest_reads_and_writes_rows_and_can_do_nothing_else(databases: Databases) -> None:
    before, after = make(databases, TELLERS)
    with guest_on((before, after), ("public",), timeout_s=0.2) as guests:
        for conninfo in guests:
            with psycopg.connect(conninfo, autocommit=True) as conn:
                conn.execute("UPDATE pgbench_tellers SET tbalance = 1 WHERE tid = 1")
                superuser = conn.execute(
                    "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
                ).fetchone()
                assert superuser == (False,)
                for forbidden in (
                    "DROP TABLE pgbench_tellers",
                    "SELECT pg_read_file('/etc/passwd')",
                    "SELECT * FROM pg_authid",
                    "CREATE TABLE mine (a int)",
                    "COPY pgbench_tellers TO PROGRAM 'cat'",
                    "SET ROLE perflab",
                    "SELECT lo_import('/etc/passwd')",
                    "SELECT * FROM ts_stat('SELECT pg_read_file(''/etc/passwd'')::tsvector')",
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = 'perflab' AND pid <> pg_backend_pid()",
                ):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        conn.execute(forbidden.encode())
                with pytest.raises(psycopg.errors.QueryCanceled):
                    conn.execute("SELECT pg_sleep(5)")
                for way_back in ("RESET ROLE", "SET ROLE none", "RESET SESSION AUTHORIZATION"):
                    conn.execute(way_back.encode())
                    who = conn.execute("SELECT current_user::text, session_user::text").fetchone()
                    assert who is not None
                    assert all(name.startswith("perflab_guest_") for name in who)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute("SET temp_file_limit = -1")
    with psycopg.connect(before, autocommit=True) as conn:
        left = conn.execute("SELECT 1 FROM pg_roles WHERE rolname LIKE 'perflab_guest%'")
        assert left.fetchone() is None


def test_what_the_server_does_not_plan_is_left_out_with_its_reason(shop: str) -> None:
    statements = parse_workload(
        "-- name: good\nSELECT * FROM orders WHERE total = 1;\n"
        "-- name: gone\nSELECT * FROM nowhere;\n"
        "-- name: odd\nSELECT * FROM orders WHERE placed_at > 'Ada''s birthday';"
    ).statements
    with psycopg.connect(shop, autocommit=True) as conn:
        good, bad = plannable(conn, statements)
        with pytest.raises(StatementError, match='"nowhere" does not exist'):
            plannable(conn, statements[1:2])

    assert [s.name for s in good] == ["good"]
    assert [str(b) for b in bad] == [
        'gone: relation "nowhere" does not exist',
        "odd: a value does not fit its type",
    ]
