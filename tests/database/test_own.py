"""The lab's own databases: prefixed, replaced, cloned, kept, dropped."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import psycopg
import pytest

from perflab.database.own import Databases, _locale
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


def test_text_is_ordered_by_code_point_whatever_template1_does(
    databases: Databases, postgres: Postgres
) -> None:
    with psycopg.connect(postgres.conninfo("template1"), autocommit=True) as conn:
        conn.execute("CREATE TABLE of_somebody (id int)")
    try:
        with psycopg.connect(databases.create("own_plain")) as conn:
            words = conn.execute("SELECT w FROM unnest(ARRAY['a', 'B', 'é', 'z']) w ORDER BY w")
            assert [row[0] for row in words] == ["B", "a", "z", "é"]
            assert conn.execute("SHOW server_encoding").fetchone() == ("UTF8",)
            assert conn.execute("SELECT to_regclass('of_somebody')").fetchone() == (None,)
    finally:
        with psycopg.connect(postgres.conninfo("template1"), autocommit=True) as conn:
            conn.execute("DROP TABLE of_somebody")


@pytest.mark.parametrize(
    ("version", "locale"),
    [
        (140_000, "LOCALE 'C'"),
        (150_000, "LOCALE_PROVIDER libc LOCALE 'C'"),
        (170_000, "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"),
    ],
)
def test_the_order_is_asked_for_as_each_version_wants_it(version: int, locale: str) -> None:
    assert _locale(version).as_string() == locale


def test_each_database_carries_the_servers_mark(postgres: Postgres) -> None:
    marked = Postgres(msgspec.structs.replace(postgres.address, mark="perflab's; it ends"), None)
    databases = Databases(marked)
    databases.create("own_marked")
    databases.clone("own_marked", "own_marked_too")
    query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname ~ 'marked'"
    with psycopg.connect(postgres.conninfo()) as conn:
        found = conn.execute(query).fetchall()
    databases.close()
    assert found == [("perflab's; it ends",)] * 2


def test_a_conninfo_leads_back_to_its_label(databases: Databases) -> None:
    assert databases.label(databases.create("own_label")) == "own_label"
