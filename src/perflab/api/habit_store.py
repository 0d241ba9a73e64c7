"""Habits and entries in PostgreSQL: what the endpoints read and write, always of one user."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Final

from msgspec import UNSET
from psycopg import sql

from perflab.api.habit_types import (
    Entry,
    EntryQuery,
    Habit,
    HabitQuery,
    NewEntry,
    NewHabit,
    RemovedHabit,
)
from perflab.api.paging import Place
from perflab.api.problems import Problem, no_such_thing
from perflab.api.rows import Order, Rows, Where, equal
from perflab.database.pool import Connection

_HABITS: Final = Rows("habits", Habit)
_ENTRIES: Final = Rows("habit_entries", Entry)

_CREATED: Final = sql.SQL("created_at")
_DAY: Final = sql.SQL("entry_date")
_DAY_OF_ORDINAL: Final = sql.SQL("(date '0001-01-01' + (%(value)s::int - 1))")
_ACTIVE: Final = sql.SQL("archived_at IS NULL")
_ARCHIVED: Final = sql.SQL("archived_at IS NOT NULL")
_DAYS: Final = {
    "since": sql.SQL("entry_date >= %(since)s"),
    "until": sql.SQL("entry_date <= %(until)s"),
}
_OWNED: Final = sql.SQL(
    "EXISTS (SELECT FROM habits WHERE id = %(habit_id)s AND user_id = %(user_id)s)"
)
_FOR_NEW_ENTRY: Final = sql.SQL("FOR NO KEY UPDATE")
"""No constraint keeps a day from having two entries, so whoever adds one has the habit alone."""


def habit_place(habit: Habit) -> Place:
    """Where a habit stands in a list."""
    return Place(habit.created_at, habit.id)


async def list_habits(
    conn: Connection, user_id: int, query: HabitQuery, after: Place | None
) -> list[Habit]:
    """Up to ``limit`` + 1 habits behind a place."""
    where = equal(user_id=user_id).narrowed([_ARCHIVED if query.archived else _ACTIVE], {})
    order = Order(_CREATED, query.sort.startswith("-"))
    return await _HABITS.page(conn, where, order, after, query.limit)


async def get_habit(conn: Connection, user_id: int, habit_id: int) -> Habit | None:
    """One habit; None if the user has none of this id."""
    return await _HABITS.get(conn, equal(id=habit_id, user_id=user_id))


async def insert_habit(conn: Connection, user_id: int, new: NewHabit, now: datetime) -> Habit:
    """The habit, created."""
    return await _HABITS.insert(
        conn,
        user_id=user_id,
        name=new.name,
        cadence=new.cadence,
        reminder_minute=new.reminder_minute,
        created_at=now,
    )


async def change_habit(
    conn: Connection, user_id: int, habit_id: int, given: dict[str, object], now: datetime
) -> Habit | None:
    """The habit with the given fields changed; None if the user has none of this id.

    One that was archived before stays archived since then.
    """
    values = {name: value for name, value in given.items() if name != "archived"}
    where = equal(id=habit_id, user_id=user_id)
    computed = []
    if "archived" in given:
        where = where.narrowed([], {"now": now, "archived": given["archived"]})
        computed.append(
            sql.SQL("archived_at = CASE WHEN %(archived)s THEN coalesce(archived_at, %(now)s) END")
        )
    return await _HABITS.update(conn, where, values, computed)


async def delete_habit(conn: Connection, user_id: int, habit_id: int) -> RemovedHabit | None:
    """The habit and its entries, gone; None if the user has none of this id."""
    where = equal(id=habit_id, user_id=user_id)
    # nobody adds an entry between the two deletions
    if await _HABITS.get(conn, where, sql.SQL("FOR UPDATE")) is None:
        return None
    [(latest,)] = await (
        await conn.execute(
            "WITH gone AS (DELETE FROM habit_entries WHERE habit_id = %s RETURNING entry_date)"
            " SELECT max(entry_date) FROM gone",
            [habit_id],
        )
    ).fetchall()
    await _HABITS.delete(conn, where)
    return RemovedHabit(habit_id, latest)


def entry_place(entry: Entry) -> Place:
    """Where an entry stands in a list."""
    return Place(entry.entry_date.toordinal(), entry.id)


async def list_entries(
    conn: Connection, user_id: int, habit_id: int, query: EntryQuery, after: Place | None
) -> list[Entry] | None:
    """Up to ``limit`` + 1 entries behind a place; None if the user has no such habit."""
    if await get_habit(conn, user_id, habit_id) is None:
        return None
    days = {name: day for name in _DAYS if (day := getattr(query, name)) is not UNSET}
    where = equal(habit_id=habit_id).narrowed([_DAYS[name] for name in days], days)
    order = Order(_DAY, query.sort.startswith("-"), _DAY_OF_ORDINAL)
    return await _ENTRIES.page(conn, where, order, after, query.limit)


async def get_entry(conn: Connection, user_id: int, habit_id: int, entry_id: int) -> Entry | None:
    """One entry; None if no habit of the user's has one of this id."""
    return await _ENTRIES.get(conn, _entry(user_id, habit_id, entry_id))


async def insert_entry(conn: Connection, user_id: int, habit_id: int, new: NewEntry) -> Entry:
    """The entry, created; a 404 without such a habit, a 409 if the day has one."""
    if await _HABITS.get(conn, equal(id=habit_id, user_id=user_id), _FOR_NEW_ENTRY) is None:
        raise no_such_thing()
    if await _ENTRIES.get(conn, _on(habit_id, new.entry_date)) is not None:
        raise Problem(409, f"{new.entry_date} has an entry already; change that one")
    return await _ENTRIES.insert(
        conn, habit_id=habit_id, entry_date=new.entry_date, amount=new.amount
    )


async def change_entry(
    conn: Connection, user_id: int, habit_id: int, entry_id: int, given: dict[str, Any]
) -> Entry | None:
    """The entry with the given fields changed; None where ``get_entry`` finds none."""
    return await _ENTRIES.update(conn, _entry(user_id, habit_id, entry_id), given)


async def delete_entry(
    conn: Connection, user_id: int, habit_id: int, entry_id: int
) -> Entry | None:
    """The entry that is no more; None where there was none."""
    return await _ENTRIES.delete(conn, _entry(user_id, habit_id, entry_id))


def _entry(user_id: int, habit_id: int, entry_id: int) -> Where:
    return equal(id=entry_id, habit_id=habit_id).narrowed([_OWNED], {"user_id": user_id})


def _on(habit_id: int, day: date) -> Where:
    return equal(habit_id=habit_id, entry_date=day)
