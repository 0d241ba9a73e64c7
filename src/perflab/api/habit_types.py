"""Habits and their entries as clients see, filter, create and change them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from perflab.api.bodies import Title
from perflab.api.paging import PageQuery

Cadence = Literal["daily", "weekly"]
Minute = Annotated[int, Meta(ge=0, lt=24 * 60)]
"""Of the day."""
Amount = Annotated[int, Meta(ge=0, le=2**15 - 1)]


class Habit(msgspec.Struct, frozen=True):
    """One habit."""

    id: int
    name: str
    cadence: str
    reminder_minute: int | None
    created_at: datetime
    archived_at: datetime | None


class HabitPage(msgspec.Struct, frozen=True):
    """Some habits, and the cursor of what follows; None at the end."""

    habits: list[Habit]
    next: str | None


class HabitQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a list: habits that are kept up, or those that are archived."""

    archived: bool = False
    sort: Literal["created_at", "-created_at"] = "created_at"


class NewHabit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST."""

    name: Title
    cadence: Cadence = "daily"
    reminder_minute: Minute | None = None


class HabitChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH: what is not in it stays."""

    name: Title | UnsetType = UNSET
    cadence: Cadence | UnsetType = UNSET
    reminder_minute: Minute | UnsetType | None = UNSET
    archived: bool | UnsetType = UNSET


class Entry(msgspec.Struct, frozen=True):
    """What was done of a habit on one day."""

    id: int
    habit_id: int
    entry_date: date
    amount: int


class EntryPage(msgspec.Struct, frozen=True):
    """Some entries of a habit, and the cursor of what follows; None at the end."""

    entries: list[Entry]
    next: str | None


class EntryQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a list: the days from ``since`` to ``until``, both included."""

    since: date | UnsetType = UNSET
    until: date | UnsetType = UNSET
    sort: Literal["entry_date", "-entry_date"] = "-entry_date"


class NewEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST: a day has one entry of a habit at most."""

    entry_date: date
    amount: Amount = 1


class EntryChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH; an entry stays with its day."""

    amount: Amount | UnsetType = UNSET


class RemovedHabit(msgspec.Struct, frozen=True):
    """A habit that is no more, and its entries with it."""

    id: int
    latest: date | None
    """The last day that had an entry."""
