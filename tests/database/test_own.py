"""The lab's own databases: prefixed, replaced, cloned, kept, dropped."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from perflab.database.own import Databases
from perflab.services import Postgres


@pytest.fixture
def databases(postgres: Postgres) -> Iterator[Databases]:
    found = Databases(postgres)
    yield found
    found.close()


def names(postgres: Postgres) -> set[str]:
    with psycopg.connect(postgres.conninfo()) as conn:
        return {row[0] for row in conn.execute("SELECT datname FROM pg_database")}


def test_names_begin_with_the_servers_prefix_and_close_drops_them(
    databases: Databases, postgres: Postgres
) -> None:
    databases.create("own_one")
    assert "perflab_own_one" in names(postgres)
    databases.close()
    assert "perflab_own_one" not in names(postgres)


def test_a_clone_holds_the_rows_and_replaces_an_earlier_one(databases: Databases) -> None:
    source = databases.create("own_source")
    with psycopg.connect(source) as conn:
        conn.execute("CREATE TABLE t AS SELECT 7 AS n")
    for _ in range(2):
        copy = databases.clone("own_source", "own_copy")
        with psycopg.connect(copy) as conn:
            assert conn.execute("SELECT n FROM t").fetchall() == [(7,)]
            conn.execute("DELETE FROM t")


def test_a_kept_database_outlasts_close(databases: Databases, postgres: Postgres) -> None:
    databases.create("own_partial")
    databases.keep_as("own_partial", "own_whole")
    databases.close()
    assert databases.exists("own_whole")
    assert not databases.exists("own_partial")
    with psycopg.connect(postgres.conninfo(), autocommit=True) as conn:
        conn.execute("DROP DATABASE perflab_own_whole")


def test_a_conninfo_leads_back_to_its_label(databases: Databases) -> None:
    assert databases.label(databases.create("own_label")) == "own_label"
