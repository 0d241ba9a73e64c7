"""Tasks in PostgreSQL: what the endpoints read and write, always of one user."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from psycopg import sql
from psycopg.rows import class_row

from perflab.api.cursors import Value
from perflab.api.problems import Problem
from perflab.api.task_types import NewTask, Sort, Task, TaskQuery
from perflab.database.pool import Connection

_COLUMNS: Final = sql.SQL(
    "id, project_id, title, status, priority, due_date, completed_at, created_at, updated_at"
)
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


def place(task: Task, sort: Sort) -> Value:
    """Where a task stands in a list of this order, for the cursor."""
    value: Value | None = getattr(task, sort.removeprefix("-"))
    return _NEVER if value is None else value


async def list_tasks(
    conn: Connection, user_id: int, query: TaskQuery, after: tuple[Value, int] | None
) -> list[Task]:
    """Up to ``limit`` + 1 tasks behind a position: the last one only says that there are more."""
    order = _ORDERS[query.sort.removeprefix("-")]
    down = query.sort.startswith("-")
    wanted = [sql.SQL("user_id = %(user_id)s")]
    wanted += [one for name, one in _FILTERS.items() if getattr(query, name) is not None]
    parameters: dict[str, Any] = {name: getattr(query, name) for name in _FILTERS}
    parameters |= {"user_id": user_id, "size": query.limit + 1}
    conditions: sql.Composable = sql.SQL(" AND ").join(wanted)
    if after is not None:
        parameters |= {"value": after[0], "id": after[1]}
        conditions += sql.SQL(" AND ({}, id) {} (%(value)s, %(id)s)").format(
            order, sql.SQL("<" if down else ">")
        )
    statement = sql.SQL(
        "SELECT {} FROM tasks WHERE {} ORDER BY {order} {way}, id {way} LIMIT %(size)s"
    ).format(_COLUMNS, conditions, order=order, way=sql.SQL("DESC" if down else "ASC"))
    async with conn.cursor(row_factory=class_row(Task)) as cursor:
        await cursor.execute(statement, parameters)
        return await cursor.fetchall()


async def get_task(conn: Connection, user_id: int, task_id: int) -> Task | None:
    """One task; None if the user has none of this id."""
    statement = sql.SQL("SELECT {} FROM tasks WHERE id = %s AND user_id = %s").format(_COLUMNS)
    return await _one(conn, statement, [task_id, user_id])


async def insert_task(conn: Connection, user_id: int, new: NewTask, now: datetime) -> Task:
    """The task, created; a 422 for a project of somebody else's."""
    await _check_project(conn, user_id, new.project_id)
    statement = sql.SQL(
        "INSERT INTO tasks (user_id, project_id, title, status, priority, due_date,"
        " completed_at, created_at, updated_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING {}"
    ).format(_COLUMNS)
    done = now if new.status == "done" else None
    values = [
        user_id, new.project_id, new.title, new.status, new.priority, new.due_date, done, now, now,
    ]  # fmt: skip
    task = await _one(conn, statement, values)
    assert task is not None  # noqa: S101 - RETURNING of one row
    return task


async def change_task(
    conn: Connection, user_id: int, task_id: int, given: dict[str, object], now: datetime
) -> Task | None:
    """The task with the given fields changed; None if the user has none of this id."""
    await _check_project(conn, user_id, given.get("project_id"))
    assigned: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in given
    ]
    assigned.append(sql.SQL("updated_at = %(now)s"))
    if "status" in given:
        # a task that was done before stays completed when it was
        assigned.append(
            sql.SQL(
                "completed_at = CASE WHEN %(status)s = 'done'"
                " THEN coalesce(completed_at, %(now)s) END"
            )
        )
    statement = sql.SQL(
        "UPDATE tasks SET {} WHERE id = %(task_id)s AND user_id = %(user_id)s RETURNING {}"
    ).format(sql.SQL(", ").join(assigned), _COLUMNS)
    return await _one(
        conn, statement, {**given, "now": now, "task_id": task_id, "user_id": user_id}
    )


async def delete_task(conn: Connection, user_id: int, task_id: int) -> bool:
    """Whether there was such a task."""
    done = await conn.execute(
        "DELETE FROM tasks WHERE id = %s AND user_id = %s", [task_id, user_id]
    )
    return done.rowcount == 1


async def _check_project(conn: Connection, user_id: int, project_id: object) -> None:
    if project_id is None:
        return
    found = await conn.execute(
        "SELECT 1 FROM projects WHERE id = %s AND user_id = %s FOR KEY SHARE",
        [project_id, user_id],
    )
    if await found.fetchone() is None:
        raise Problem(422, "project_id: you have no such project")


async def _one(
    conn: Connection, statement: sql.Composed, parameters: list[Any] | dict[str, Any]
) -> Task | None:
    async with conn.cursor(row_factory=class_row(Task)) as cursor:
        await cursor.execute(statement, parameters)
        return await cursor.fetchone()
