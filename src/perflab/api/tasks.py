"""``/tasks``: lists by keyset cursor, and writes that are applied exactly once."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perflab.api import task_store as store
from perflab.api.authentication import signed_in
from perflab.api.bodies import encode, json_response, path_id, read_body, read_query
from perflab.api.invalidation import (
    SHOWN_ON_DASHBOARD,
    dashboard_tag,
    lists_tag,
    purging,
    task_key,
)
from perflab.api.parts import Parts
from perflab.api.problems import Problem
from perflab.api.routing import resource
from perflab.api.task_types import NewTask, Task, TaskChange, TaskPage, TaskQuery, in_calendar
from perflab.cache import ABSENT, ACTIVE_TASKS, Codec
from perflab.database.pool import Connection

TASKS: Final = msgspec.structs.replace(ACTIVE_TASKS, codec=Codec(bytes, compression=None))
"""Bodies as they are sent: a hit is neither decoded nor encoded."""

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class Stored(msgspec.Struct, frozen=True):
    """What is stored under an idempotency key."""

    request: str
    """A hash of what was asked."""
    attempt: str
    """Of the request that was applied; another's is a repetition."""
    task: Task


class Tasks:
    """The endpoints of tasks."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._new = msgspec.json.Decoder(NewTask)
        self._change = msgspec.json.Decoder(TaskChange)

    def routes(self) -> list[Route]:
        """The routes of these endpoints."""
        return [
            resource("/tasks", get=self.list, post=self.create),
            resource("/tasks/{id}", get=self.get, patch=self.change, delete=self.delete),
        ]

    async def list(self, request: Request) -> Response:
        """A page of the user's tasks."""
        user_id = signed_in(request).user_id
        query = read_query(request, TaskQuery)
        in_calendar(query.due_before)
        listing = query.listing(user_id)
        cursors = self._parts.cursors
        after = None if query.cursor is None else cursors.read(listing, query.cursor)

        async def load() -> bytes:
            found = await self._parts.pool.read(
                lambda conn: store.list_tasks(conn, user_id, query, after)
            )
            page = found[: query.limit]
            following = None
            if len(found) > query.limit:
                following = cursors.write(listing, store.place(page[-1], query.sort), page[-1].id)
            return encode(TaskPage(page, following))

        asked = f"{listing} {query.limit} {query.cursor}"
        key = f"tasks:{user_id}:{hashlib.sha256(asked.encode()).hexdigest()}"
        body = await self._parts.cache.get_or_load(key, load, TASKS, [lists_tag(user_id)])
        return json_response(body)

    async def get(self, request: Request) -> Response:
        """One task of the user's."""
        user_id, task_id = signed_in(request).user_id, path_id(request)

        async def load() -> Any:
            found = await self._parts.pool.read(lambda conn: store.get_task(conn, user_id, task_id))
            return ABSENT if found is None else encode(found)

        body = await self._parts.cache.get_or_load(task_key(user_id, task_id), load, TASKS)
        if not isinstance(body, bytes):
            raise _no_task()
        return json_response(body)

    async def create(self, request: Request) -> Response:
        """A new task; with ``Idempotency-Key`` once, however often it is asked for."""
        user_id = signed_in(request).user_id
        given = request.headers.get("idempotency-key")
        if given is not None and not _KEY.fullmatch(given):
            raise Problem(400, "Idempotency-Key must be 1 to 255 printable characters, no blanks")
        new = await read_body(request, self._new, self._parts.settings.max_body_bytes)
        in_calendar(new.due_date)
        asked = hashlib.sha256(encode(new)).hexdigest()
        attempt = secrets.token_hex(16)
        now = self._now()

        async def insert(conn: Connection) -> Any:
            task = await store.insert_task(conn, user_id, new, now)
            return msgspec.to_builtins(Stored(asked, attempt, task))

        # a repetition purges too: whoever was first may have died before it did
        tags = [lists_tag(user_id), dashboard_tag(user_id)]
        async with purging(self._parts.cache, tags=tags):
            outcome = await self._parts.pool.write(_named(user_id, given or attempt), insert)
        stored = msgspec.convert(outcome, Stored)
        if stored.request != asked:
            raise Problem(422, "this Idempotency-Key was used for another request")
        response = json_response(encode(stored.task), 201, cache_control="no-store")
        response.headers["location"] = f"/tasks/{stored.task.id}"
        if stored.attempt != attempt:
            response.headers["idempotency-replayed"] = "true"
        return response

    async def change(self, request: Request) -> Response:
        """The task with some fields changed."""
        user_id, task_id = signed_in(request).user_id, path_id(request)
        change = await read_body(request, self._change, self._parts.settings.max_body_bytes)
        in_calendar(change.due_date)
        given = change.given()
        if not given:
            raise Problem(422, "there is nothing to change in the body")
        now = self._now()

        async def update(conn: Connection) -> Any:
            task = await store.change_task(conn, user_id, task_id, given, now)
            if task is None:
                raise _no_task()
            return msgspec.to_builtins(task)

        tags = [lists_tag(user_id)]
        if not SHOWN_ON_DASHBOARD.isdisjoint(given):
            tags.append(dashboard_tag(user_id))
        async with purging(self._parts.cache, keys=[task_key(user_id, task_id)], tags=tags):
            outcome = await self._parts.pool.write(_once(), update)
        body = encode(msgspec.convert(outcome, Task))
        return json_response(body, cache_control="no-store")

    async def delete(self, request: Request) -> Response:
        """The end of a task."""
        user_id, task_id = signed_in(request).user_id, path_id(request)

        async def remove(conn: Connection) -> None:
            if not await store.delete_task(conn, user_id, task_id):
                raise _no_task()

        tags = [lists_tag(user_id), dashboard_tag(user_id)]
        async with purging(self._parts.cache, keys=[task_key(user_id, task_id)], tags=tags):
            await self._parts.pool.write(_once(), remove)
        return Response(status_code=204)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._parts.clock(), UTC)


def _named(user_id: int, key: str) -> str:
    """A client's key as the pool stores it: each user has keys of their own."""
    return f"api:task:{user_id}:{hashlib.sha256(key.encode()).hexdigest()}"


def _once() -> str:
    """The key of a write that only this request can repeat."""
    return f"api:once:{secrets.token_hex(16)}"


def _no_task() -> Problem:
    return Problem(404, "you have no such task")
