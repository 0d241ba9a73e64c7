"""The session: prepared once, planned as pinned."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.session import PlanCacheMode, Session, positional

NAMES = st.sampled_from(["a", "user_id", "since", "x1"])


@given(st.lists(NAMES, max_size=6))
def test_placeholders_are_numbered_by_first_appearance(names: list[str]) -> None:
    sql = "SELECT 1" + "".join(f", %({name})s" for name in names)
    text, order = positional(sql)
    assert order == tuple(dict.fromkeys(names))
    assert text.decode() == "SELECT 1" + "".join(f", ${order.index(n) + 1}" for n in names)


def test_a_doubled_percent_sign_is_one() -> None:
    assert positional("SELECT 5 %% %(n)s") == (b"SELECT 5 % $1", ("n",))


def test_run_counts_rows(database: str) -> None:
    with Session(database) as session:
        sql = "SELECT g FROM generate_series(1, %(n)s) g WHERE g <> %(not)s"
        assert session.run(sql, {"n": 5, "not": 2}) == 4
        assert session.run(sql, {"n": 5, "not": 9, "unused": 1}) == 5


def test_one_statement_is_prepared_once_whatever_the_size_of_its_numbers(database: str) -> None:
    with Session(database) as session:
        for number in (1, 70_000, 2**40):
            session.run("SELECT %(n)s::bigint", {"n": number})
        prepared = session.conn.execute(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1::big%'"
        ).fetchone()
    assert prepared == (1,)


@pytest.mark.parametrize(
    ("mode", "custom", "generic"),
    [("force_custom_plan", 20, 0), ("force_generic_plan", 0, 20)],
)
def test_plans_stay_as_pinned_far_past_the_servers_fifth_execution(
    database: str, mode: PlanCacheMode, custom: int, generic: int
) -> None:
    with Session(database, mode) as session:
        for number in range(20):
            session.run("SELECT relname FROM pg_class WHERE oid = %(oid)s", {"oid": number})
        counts = session.conn.execute(
            "SELECT custom_plans, generic_plans FROM pg_prepared_statements "
            "WHERE statement LIKE 'SELECT relname%'"
        ).fetchone()
        assert counts == (custom, generic)
        assert session.settings()["plan_cache_mode"] == mode


def test_settings_are_in_force_and_reported(database: str) -> None:
    with Session(database, settings={"work_mem": "8MB"}) as session:
        assert session.conn.execute("SHOW work_mem").fetchone() == ("8MB",)
        assert session.settings() == {
            "plan_cache_mode": "force_custom_plan",
            "jit": "off",
            "TimeZone": "UTC",
            "work_mem": "8MB",
        }


def test_a_closed_session_stays_closed(database: str) -> None:
    session = Session(database)
    session.close()
    session.close()
    with pytest.raises(psycopg.OperationalError):
        session.run("SELECT 1", {})
