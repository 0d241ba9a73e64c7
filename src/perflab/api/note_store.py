"""Notes in PostgreSQL: what the endpoints read and write, always of one user."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from msgspec import UNSET
from psycopg import sql

from perflab.api.note_types import ListedNote, NewNote, Note, NoteQuery
from perflab.api.paging import Place
from perflab.api.rows import Order, Rows, equal
from perflab.database.pool import Connection

_LISTED: Final = Rows("notes", ListedNote)
_NOTES: Final = Rows("notes", Note)
_ORDERS: Final = {"created_at": sql.SQL("created_at"), "updated_at": sql.SQL("updated_at")}
_TAGGED: Final = sql.SQL("tags @> %(tags)s::text[]")
_PINNED: Final = sql.SQL("pinned = %(pinned)s")


def place(note: ListedNote, sort: str) -> Place:
    """Where a note stands in a list of this order."""
    return Place(getattr(note, sort.removeprefix("-")), note.id)


async def list_notes(
    conn: Connection, user_id: int, query: NoteQuery, after: Place | None
) -> list[ListedNote]:
    """Up to ``limit`` + 1 notes behind a place."""
    where = equal(user_id=user_id)
    if query.tag:
        where = where.narrowed([_TAGGED], {"tags": distinct(query.tag)})
    if query.pinned is not UNSET:
        where = where.narrowed([_PINNED], {"pinned": query.pinned})
    order = Order(_ORDERS[query.sort.removeprefix("-")], query.sort.startswith("-"))
    return await _LISTED.page(conn, where, order, after, query.limit)


async def get_note(conn: Connection, user_id: int, note_id: int) -> Note | None:
    """One note; None if the user has none of this id."""
    return await _NOTES.get(conn, equal(id=note_id, user_id=user_id))


async def insert_note(conn: Connection, user_id: int, new: NewNote, now: datetime) -> Note:
    """The note, created."""
    return await _NOTES.insert(
        conn,
        user_id=user_id,
        title=new.title,
        body=new.body,
        tags=distinct(new.tags),
        pinned=new.pinned,
        created_at=now,
        updated_at=now,
    )


async def change_note(
    conn: Connection, user_id: int, note_id: int, given: dict[str, Any], now: datetime
) -> Note | None:
    """The note with the given fields changed; None if the user has none of this id."""
    values = {**given, "updated_at": now}
    if "tags" in given:
        values["tags"] = distinct(given["tags"])
    return await _NOTES.update(conn, equal(id=note_id, user_id=user_id), values)


async def delete_note(conn: Connection, user_id: int, note_id: int) -> Note | None:
    """The note that is no more; None if there was none."""
    return await _NOTES.delete(conn, equal(id=note_id, user_id=user_id))


def distinct(tags: Iterable[str]) -> list[str]:
    """Each tag once, in the order given."""
    return list(dict.fromkeys(tags))
