"""Tasks as clients see, filter, create and change them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from perflab.api.bodies import RowId, Title
from perflab.api.paging import PageQuery
from perflab.api.problems import Problem

Status = Literal["todo", "in_progress", "done", "cancelled"]
Priority = Annotated[int, Meta(ge=1, le=4)]
"""4 is the most urgent."""
Moment = Annotated[datetime, Meta(tz=True)]
Sort = Literal[
    "created_at", "-created_at", "updated_at", "-updated_at",
    "priority", "-priority", "due_date", "-due_date",
]  # fmt: skip

_YEARS: Final = range(1970, 9_999)
"""In which a task can be due: both ends are far from where calendars end."""


class Task(msgspec.Struct, frozen=True):
    """One task."""

    id: int
    project_id: int | None
    title: str
    status: str
    priority: int
    due_date: datetime | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class TaskPage(msgspec.Struct, frozen=True):
    """Some tasks, and the cursor of what follows; None at the end."""

    tasks: list[Task]
    next: str | None


class TaskQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a list."""

    status: Status | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    project_id: RowId | UnsetType = UNSET
    due_before: Moment | UnsetType = UNSET
    sort: Sort = "-created_at"


class NewTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST."""

    title: Title
    status: Status = "todo"
    priority: Priority = 2
    project_id: RowId | None = None
    due_date: Moment | None = None


class TaskChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH: what is not in it stays."""

    title: Title | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    project_id: RowId | UnsetType | None = UNSET
    due_date: Moment | UnsetType | None = UNSET


def in_calendar(due: datetime | UnsetType | None, status: int = 422) -> None:
    """A Problem for a time that the database could store but nobody read back."""
    if isinstance(due, datetime):
        try:
            year = due.astimezone(UTC).year
        except OverflowError:
            year = 0
        if year not in _YEARS:
            raise Problem(status, f"due_date must lie in the years {_YEARS.start} to {_YEARS[-1]}")
