"""``/habits``: lists by keyset cursor, and writes that are applied exactly once."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perflab.api import habit_store as store
from perflab.api.authentication import signed_in
from perflab.api.bodies import path_id
from perflab.api.collection import collection
from perflab.api.habit_types import (
    Habit,
    HabitChange,
    HabitPage,
    HabitQuery,
    NewHabit,
    RemovedHabit,
)
from perflab.api.invalidation import (
    check_in_tags,
    entries_tag,
    entry_rows_tag,
    habit_key,
    habits_tag,
)
from perflab.api.parts import Parts
from perflab.api.reading import Reads
from perflab.api.routing import Resource
from perflab.api.writing import Stale, Writes, given_fields


class Habits:
    """The endpoints of habits."""

    def __init__(self, parts: Parts) -> None:
        self._body = parts.body
        self._reads = Reads(parts)
        self._writes = Writes(parts)

    def routes(self) -> list[Resource]:
        """The routes of these endpoints."""
        return collection(
            "/habits",
            self,
            query=HabitQuery,
            page=HabitPage,
            row=Habit,
            new=self._body(NewHabit),
            change=self._body(HabitChange),
        )

    async def list(self, request: Request, query: HabitQuery) -> Response:
        """A page of the user's habits."""
        user_id = signed_in(request).user_id
        return await self._reads.page(
            habits_tag(user_id),
            query,
            lambda conn, after: store.list_habits(conn, user_id, query, after),
            store.habit_place,
            HabitPage,
        )

    async def get(self, request: Request) -> Response:
        """One habit of the user's."""
        user_id, habit_id = signed_in(request).user_id, path_id(request)
        return await self._reads.one(
            habit_key(user_id, habit_id), lambda conn: store.get_habit(conn, user_id, habit_id)
        )

    async def create(self, request: Request, new: NewHabit) -> Response:
        """A new habit; with ``Idempotency-Key`` once, however often it is asked for."""
        user_id = signed_in(request).user_id
        now = self._writes.now()
        return await self._writes.create(
            request,
            new,
            Habit,
            lambda conn: store.insert_habit(conn, user_id, new, now),
            location=lambda habit: f"/habits/{habit.id}",
            stale=lambda _: Stale(tags=[habits_tag(user_id)]),
        )

    async def change(self, request: Request, change: HabitChange) -> Response:
        """The habit with some fields changed, or archived, or taken up again."""
        user_id, habit_id = signed_in(request).user_id, path_id(request)
        given, now = given_fields(change), self._writes.now()
        return await self._writes.change(
            Habit,
            lambda conn: store.change_habit(conn, user_id, habit_id, given, now),
            stale=lambda _: Stale([habit_key(user_id, habit_id)], [habits_tag(user_id)]),
        )

    async def delete(self, request: Request) -> Response:
        """The end of a habit and of all its entries; archiving keeps them."""
        user_id, habit_id = signed_in(request).user_id, path_id(request)
        now = self._writes.now()
        own = [
            habits_tag(user_id),
            entries_tag(user_id, habit_id),
            entry_rows_tag(user_id, habit_id),
        ]

        def stale(removed: RemovedHabit | None) -> Stale:
            shown: list[str] = []
            if removed is None:
                shown = check_in_tags(None, now)
            elif removed.latest is not None:
                shown = check_in_tags(removed.latest, now)
            return Stale([habit_key(user_id, habit_id)], own + shown)

        return await self._writes.delete(
            RemovedHabit, lambda conn: store.delete_habit(conn, user_id, habit_id), stale=stale
        )
