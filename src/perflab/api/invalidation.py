"""Which cached reads a write affects: the names of keys and tags."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

from perflab.cache import PUBLIC_CONTENT

SHOWN_ON_DASHBOARD: Final = frozenset({"status", "project_id"})
"""The fields of a task that a dashboard's figures depend on."""

CHECK_INS: Final = "habit_entries"
"""Of what is made of everybody's entries."""
PUBLIC_DAYS: Final = 7
"""How far back the public figures count entries."""
_KEPT: Final = timedelta(
    seconds=PUBLIC_CONTENT.ttl_s + PUBLIC_CONTENT.edge_ttl_s + 2 * PUBLIC_CONTENT.longest_stale_s
)
"""The longest way of the public figures: stale out of the cache here, and again at the edge."""


def tasks_tag(user_id: int) -> str:
    """Of every page of a user's tasks."""
    return f"tasks:{user_id}"


def task_key(user_id: int, task_id: int) -> str:
    """Of one task. The user is in it: nobody is served another's copy."""
    return f"task:{user_id}:{task_id}"


def dashboard_tag(user_id: int) -> str:
    """Of a user's dashboard."""
    return f"dashboard:{user_id}"


def habits_tag(user_id: int) -> str:
    """Of every page of a user's habits."""
    return f"habits:{user_id}"


def habit_key(user_id: int, habit_id: int) -> str:
    """Of one habit."""
    return f"habit:{user_id}:{habit_id}"


def entries_tag(user_id: int, habit_id: int) -> str:
    """Of every page of a habit's entries."""
    return f"entries:{user_id}:{habit_id}"


def entry_key(user_id: int, habit_id: int, entry_id: int) -> str:
    """Of one entry."""
    return f"entry:{user_id}:{habit_id}:{entry_id}"


def entry_rows_tag(user_id: int, habit_id: int) -> str:
    """Of every single entry of a habit, which end with it."""
    return f"entry:{user_id}:{habit_id}"


def check_in_tags(day: date | None, now: datetime) -> list[str]:
    """Of the public figures, if some that are still kept may count entries of this day.

    None is a day that nobody knows.
    """
    shown = day is None or day >= (now - timedelta(days=PUBLIC_DAYS) - _KEPT).date()
    return [CHECK_INS] if shown else []


def notes_tag(user_id: int) -> str:
    """Of every page of a user's notes."""
    return f"notes:{user_id}"


def note_key(user_id: int, note_id: int) -> str:
    """Of one note."""
    return f"note:{user_id}:{note_id}"
