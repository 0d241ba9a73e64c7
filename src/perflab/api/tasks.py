"""``/tasks``: lists by keyset cursor, and writes that are applied exactly once."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perflab.api import task_store as store
from perflab.api.authentication import signed_in
from perflab.api.bodies import path_id
from perflab.api.collection import collection
from perflab.api.invalidation import SHOWN_ON_DASHBOARD, dashboard_tag, task_key, tasks_tag
from perflab.api.parts import Parts
from perflab.api.reading import Reads
from perflab.api.routing import Resource
from perflab.api.task_types import NewTask, Task, TaskChange, TaskPage, TaskQuery, in_calendar
from perflab.api.writing import Stale, Writes, given_fields


class Tasks:
    """The endpoints of tasks."""

    def __init__(self, parts: Parts) -> None:
        self._body = parts.body
        self._reads = Reads(parts)
        self._writes = Writes(parts)

    def routes(self) -> list[Resource]:
        """The routes of these endpoints."""
        return collection(
            "/tasks",
            self,
            query=TaskQuery,
            page=TaskPage,
            row=Task,
            new=self._body(NewTask),
            change=self._body(TaskChange),
        )

    async def list(self, request: Request, query: TaskQuery) -> Response:
        """A page of the user's tasks."""
        user_id = signed_in(request).user_id
        in_calendar(query.due_before, 400)
        return await self._reads.page(
            tasks_tag(user_id),
            query,
            lambda conn, after: store.list_tasks(conn, user_id, query, after),
            lambda task: store.place(task, query.sort),
            TaskPage,
        )

    async def get(self, request: Request) -> Response:
        """One task of the user's."""
        user_id, task_id = signed_in(request).user_id, path_id(request)
        return await self._reads.one(
            task_key(user_id, task_id), lambda conn: store.get_task(conn, user_id, task_id)
        )

    async def create(self, request: Request, new: NewTask) -> Response:
        """A new task; with ``Idempotency-Key`` once, however often it is asked for."""
        user_id = signed_in(request).user_id
        in_calendar(new.due_date)
        now = self._writes.now()
        return await self._writes.create(
            request,
            new,
            Task,
            lambda conn: store.insert_task(conn, user_id, new, now),
            location=lambda task: f"/tasks/{task.id}",
            stale=lambda _: Stale(tags=[tasks_tag(user_id), dashboard_tag(user_id)]),
        )

    async def change(self, request: Request, change: TaskChange) -> Response:
        """The task with some fields changed."""
        user_id, task_id = signed_in(request).user_id, path_id(request)
        in_calendar(change.due_date)
        given = given_fields(change)
        now = self._writes.now()
        tags = [tasks_tag(user_id)]
        if not SHOWN_ON_DASHBOARD.isdisjoint(given):
            tags.append(dashboard_tag(user_id))
        return await self._writes.change(
            Task,
            lambda conn: store.change_task(conn, user_id, task_id, given, now),
            stale=lambda _: Stale([task_key(user_id, task_id)], tags),
        )

    async def delete(self, request: Request) -> Response:
        """The end of a task."""
        user_id, task_id = signed_in(request).user_id, path_id(request)
        tags = [tasks_tag(user_id), dashboard_tag(user_id)]
        return await self._writes.delete(
            Task,
            lambda conn: store.delete_task(conn, user_id, task_id),
            stale=lambda _: Stale([task_key(user_id, task_id)], tags),
        )
