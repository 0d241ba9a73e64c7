"""OFFSET and keyset give the same pages; only the keyset does so while rows are added."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.database.pagination import (
    ALL_TASKS,
    USER_FEED,
    Feed,
    TaskRow,
    keyset_page,
    keyset_pages,
    offset_page,
)
from perflab.errors import ParameterError
from perflab.schema.population import NOW
from perflab.schema.seed import create_schema
from perflab.services import Postgres


@pytest.fixture(scope="module")
def conn(postgres: Postgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS test_pages WITH (FORCE)")
        admin.execute("CREATE DATABASE test_pages")
        try:
            with psycopg.connect(postgres.conninfo("test_pages"), autocommit=True) as opened:
                create_schema(opened)
                opened.execute(
                    "INSERT INTO users (id, email, name, plan, created_at) "
                    "SELECT g, g::text, 'x', 'free', %s FROM generate_series(1, 2) g",
                    [NOW],
                )
                yield opened
        finally:
            admin.execute("DROP DATABASE test_pages WITH (FORCE)")


def write_down(conn: psycopg.Connection, minutes: list[int], user: int = 1) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO tasks (user_id, title, status, priority, created_at, updated_at) "
            "VALUES (%s, 'x', 'todo', 1, %s, now())",
            [(user, NOW - timedelta(minutes=minute)) for minute in minutes],
        )


def by_offset(conn: psycopg.Connection, feed: Feed, size: int, user: int | None) -> list[TaskRow]:
    rows: list[TaskRow] = []
    for number in count():
        page = offset_page(conn, feed, number, size, user)
        rows += page.rows
        if page.next is None:
            break
    return rows


@given(
    # few distinct minutes: most rows share their time with others
    mine=st.lists(st.integers(0, 6), max_size=40),
    others=st.lists(st.integers(0, 6), max_size=10),
    size=st.integers(1, 12),
)
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize(("feed", "user"), [(USER_FEED, 1), (ALL_TASKS, None)])
def test_keyset_pages_hold_the_rows_of_offset_pages(
    conn: psycopg.Connection,
    feed: Feed,
    user: int | None,
    mine: list[int],
    others: list[int],
    size: int,
) -> None:
    with conn.transaction(force_rollback=True):
        write_down(conn, mine)
        write_down(conn, others, user=2)
        pages = list(keyset_pages(conn, feed, size, user))
        rows = [row for page in pages for row in page.rows]
        assert rows == by_offset(conn, feed, size, user)
        assert len(rows) == len(mine) + (0 if user else len(others))
        assert all(len(page.rows) == size for page in pages[:-1])
        assert pages[-1].next is None


def test_a_row_added_while_paging_is_repeated_by_offset_but_not_by_keyset(
    conn: psycopg.Connection,
) -> None:
    with conn.transaction(force_rollback=True):
        write_down(conn, [10, 20, 30, 40])
        first = keyset_page(conn, USER_FEED, None, 2, 1)
        assert first == offset_page(conn, USER_FEED, 0, 2, 1)
        write_down(conn, [0])
        second = keyset_page(conn, USER_FEED, first.next, 2, 1)
        repeated = offset_page(conn, USER_FEED, 1, 2, 1)
    assert not set(first.rows) & set(second.rows)
    assert set(first.rows) & set(repeated.rows)


def test_pages_that_cannot_be_are_refused_by_name(conn: psycopg.Connection) -> None:
    with pytest.raises(ParameterError, match="page size=0"):
        keyset_page(conn, ALL_TASKS, None, 0)
    with pytest.raises(ParameterError, match="page number=-1"):
        offset_page(conn, ALL_TASKS, -1)
    with pytest.raises(ParameterError, match="'user feed' needs a user_id"):
        keyset_page(conn, USER_FEED)
    with pytest.raises(ParameterError, match="'all tasks' takes no user_id"):
        keyset_page(conn, ALL_TASKS, None, 5, 1)
