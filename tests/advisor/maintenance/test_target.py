"""A database in use: looked at by somebody who may not write, and left as it was."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from perflab.advisor.errors import AdvisorError
from perflab.advisor.maintenance.target import inspect_target


@pytest.fixture
def owner(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE TABLE t (id int) WITH (autovacuum_enabled = off)")
        conn.execute("INSERT INTO t SELECT generate_series(1, 20000)")
        conn.execute("SELECT pg_stat_force_next_flush()")
        conn.execute("VACUUM (ANALYZE) t")
        conn.execute("DELETE FROM t WHERE id % 2 = 0")
        conn.execute("SELECT pg_stat_force_next_flush()")
        yield conn


@pytest.fixture
def reader(owner: psycopg.Connection, database: str) -> Iterator[str]:
    """Connects as a role with no right but to connect."""
    role, password = f"perflab_test_{secrets.token_hex(4)}", secrets.token_hex(8)
    owner.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), password)
    )
    yield make_conninfo(database, user=role, password=password)
    owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_findings_come_without_a_right_on_the_tables(
    owner: psycopg.Connection, reader: str
) -> None:
    counters = "SELECT n_tup_ins, n_tup_upd, n_tup_del, seq_scan FROM pg_stat_user_tables"
    before = owner.execute(counters).fetchall()

    found = inspect_target(reader)

    assert [(f.kind, f.table) for f in found] == [("dead", "t"), ("off", "t")]
    assert owner.execute(counters).fetchall() == before


def test_a_target_that_cannot_be_reached_is_one_line(reader: str) -> None:
    with pytest.raises(AdvisorError, match="cannot be connected to") as caught:
        inspect_target(make_conninfo(reader, password="wrong-one"))

    assert "\n" not in str(caught.value)
    assert "wrong-one" not in str(caught.value)
