"""Tasks in PostgreSQL: what the endpoints read and write, always of one user."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from msgspec import UNSET
from psycopg import sql

from perflab.api.cursors import Value
from perflab.api.paging import Place
from perflab.api.problems import Problem
from perflab.api.rows import Order, Rows, equal
from perflab.api.task_types import NewTask, Sort, Task, TaskQuery
from perflab.database.pool import Connection

_TASKS: Final = Rows("tasks", Task)
_NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""In the order by due date, that of tasks without one: after all others."""
_ORDERS: Final = {
    "created_at": sql.SQL("created_at"),
    "updated_at": sql.SQL("updated_at"),
    "priority": sql.SQL("priority"),
    "due_date": sql.SQL("coalesce(due_date, timestamptz '9999-12-31 00:00:00+00')"),
}
_FILTERS: Final = {
    "status": sql.SQL("status = %(status)s"),
    "priority": sql.SQL("priority = %(priority)s"),
    "project_id": sql.SQL("project_id = %(project_id)s"),
    "due_before": sql.SQL("due_date < %(due_before)s"),
}
_COMPLETED: Final = sql.SQL(
    "completed_at = CASE WHEN %(status)s = 'done' THEN coalesce(completed_at, %(updated_at)s) END"
)
"""A task that was done before stays completed when it was."""


def place(task: Task, sort: Sort) -> Place:
    """Where a task stands in a list of this order."""
    value: Value | None = getattr(task, sort.removeprefix("-"))
    return Place(_NEVER if value is None else value, task.id)


async def list_tasks(
    conn: Connection, user_id: int, query: TaskQuery, after: Place | None
) -> list[Task]:
    """Up to ``limit`` + 1 tasks behind a place."""
    given = {name: found for name in _FILTERS if (found := getattr(query, name)) is not UNSET}
    where = equal(user_id=user_id).narrowed([_FILTERS[name] for name in given], given)
    order = Order(_ORDERS[query.sort.removeprefix("-")], query.sort.startswith("-"))
    return await _TASKS.page(conn, where, order, after, query.limit)


async def get_task(conn: Connection, user_id: int, task_id: int) -> Task | None:
    """One task; None if the user has none of this id."""
    return await _TASKS.get(conn, equal(id=task_id, user_id=user_id))


async def insert_task(conn: Connection, user_id: int, new: NewTask, now: datetime) -> Task:
    """The task, created; a 422 for a project of somebody else's."""
    await _check_project(conn, user_id, new.project_id)
    return await _TASKS.insert(
        conn,
        user_id=user_id,
        project_id=new.project_id,
        title=new.title,
        status=new.status,
        priority=new.priority,
        due_date=new.due_date,
        completed_at=now if new.status == "done" else None,
        created_at=now,
        updated_at=now,
    )


async def change_task(
    conn: Connection, user_id: int, task_id: int, given: dict[str, object], now: datetime
) -> Task | None:
    """The task with the given fields changed; None if the user has none of this id."""
    await _check_project(conn, user_id, given.get("project_id"))
    values: dict[str, Any] = {**given, "updated_at": now}
    computed = [_COMPLETED] if "status" in given else []
    return await _TASKS.update(conn, equal(id=task_id, user_id=user_id), values, computed)


async def delete_task(conn: Connection, user_id: int, task_id: int) -> Task | None:
    """The task that is no more; None if there was none."""
    return await _TASKS.delete(conn, equal(id=task_id, user_id=user_id))


async def _check_project(conn: Connection, user_id: int, project_id: object) -> None:
    if project_id is None:
        return
    found = await conn.execute(
        "SELECT 1 FROM projects WHERE id = %s AND user_id = %s FOR KEY SHARE",
        [project_id, user_id],
    )
    if await found.fetchone() is None:
        raise Problem(422, "project_id: you have no such project")
