"""Pages of tasks by OFFSET and by keyset: the same rows, at very different depths' cost.

OFFSET reads and throws away everything before the page. A keyset page starts at the position
where the last one ended, which a B-tree finds directly; it needs a unique order, hence the id.
While rows are being added, OFFSET also repeats or skips rows; a keyset does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
from psycopg.rows import class_row
from sqlalchemy import BigInteger, DateTime, Select, bindparam, select, tuple_

from perflab.errors import ParameterError
from perflab.schema.query import DIALECT
from perflab.schema.tables import tasks


class TaskRow(msgspec.Struct, frozen=True):
    """A task as a list shows it."""

    id: int
    title: str
    status: str
    created_at: datetime


class Position(msgspec.Struct, frozen=True):
    """Where a page ended."""

    created_at: datetime
    id: int


class Page(msgspec.Struct, frozen=True):
    """Some rows, and where the next page begins."""

    rows: tuple[TaskRow, ...]
    next: Position | None
    """None when this page was not full, so that nothing can follow."""


class Feed(msgspec.Struct, frozen=True):
    """A list of tasks in a fixed order, as statements for psycopg."""

    name: str
    offset_sql: str
    """Takes ``size``, ``offset`` (and ``user_id``)."""
    keyset_sql: str
    """Takes ``size``, ``created_at``, ``id`` (and ``user_id``)."""
    start: Position
    """Before the first row."""
    index: str
    """The catalogue's index in this order."""
    by_user: bool


def _compiled(statement: Select[Any]) -> str:
    return str(statement.compile(dialect=DIALECT))


def _feed(name: str, index: str, by_user: bool) -> Feed:
    newest_first = by_user
    size = bindparam("size", type_=BigInteger())
    here = tuple_(tasks.c.created_at, tasks.c.id)
    there = tuple_(
        bindparam("created_at", type_=DateTime(timezone=True)), bindparam("id", type_=BigInteger())
    )
    listed = select(tasks.c.id, tasks.c.title, tasks.c.status, tasks.c.created_at).limit(size)
    if by_user:
        listed = listed.where(tasks.c.user_id == bindparam("user_id", type_=BigInteger()))
    if newest_first:
        listed = listed.order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
    else:
        listed = listed.order_by(tasks.c.created_at, tasks.c.id)
    # the driver sends no infinity: the ends of its calendar, years away from any task, do
    end = datetime(9999, 1, 1, tzinfo=UTC), 2**63 - 1
    beginning = datetime(1, 1, 2, tzinfo=UTC), 0
    return Feed(
        name=name,
        offset_sql=_compiled(listed.offset(bindparam("offset", type_=BigInteger()))),
        keyset_sql=_compiled(listed.where(here < there if newest_first else here > there)),
        start=Position(*(end if newest_first else beginning)),
        index=index,
        by_user=by_user,
    )


USER_FEED = _feed("user feed", "idx_tasks_user_feed", by_user=True)
"""The tasks of one user, newest first."""
ALL_TASKS = _feed("all tasks", "idx_tasks_created", by_user=False)
"""Every task, oldest first, as an export reads them."""


def offset_page(
    conn: psycopg.Connection, feed: Feed, number: int, size: int = 25, user_id: int | None = None
) -> Page:
    """Page ``number`` (from 0) by LIMIT and OFFSET."""
    if number < 0:
        raise ParameterError(f"page number={number}: must be 0 or more")
    return _fetch(conn, feed, feed.offset_sql, size, user_id, offset=number * size)


def keyset_page(
    conn: psycopg.Connection,
    feed: Feed,
    after: Position | None = None,
    size: int = 25,
    user_id: int | None = None,
) -> Page:
    """The page that follows ``after`` (a page's ``next``); the first page without it."""
    position = after or feed.start
    return _fetch(
        conn,
        feed,
        feed.keyset_sql,
        size,
        user_id,
        created_at=position.created_at,
        id=position.id,
    )


def keyset_pages(
    conn: psycopg.Connection, feed: Feed, size: int = 25, user_id: int | None = None
) -> Iterator[Page]:
    """All pages in turn."""
    page = keyset_page(conn, feed, None, size, user_id)
    yield page
    while page.next is not None:
        page = keyset_page(conn, feed, page.next, size, user_id)
        yield page


def _fetch(
    conn: psycopg.Connection,
    feed: Feed,
    statement: str,
    size: int,
    user_id: int | None,
    **params: object,
) -> Page:
    if size < 1:
        raise ParameterError(f"page size={size}: must be at least 1")
    if feed.by_user is (user_id is None):
        wanted = "needs a user_id" if feed.by_user else "takes no user_id"
        raise ParameterError(f"feed {feed.name!r} {wanted}")
    if feed.by_user:
        params["user_id"] = user_id
    with conn.cursor(row_factory=class_row(TaskRow)) as cursor:
        rows = cursor.execute(statement.encode(), {"size": size, **params}).fetchall()
    last = Position(rows[-1].created_at, rows[-1].id) if len(rows) == size else None
    return Page(tuple(rows), last)
