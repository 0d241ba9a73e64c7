"""``/habits/{id}/entries``: what was done of a habit, one entry a day at most."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from perflab.api import habit_store as store
from perflab.api.authentication import signed_in
from perflab.api.bodies import path_id
from perflab.api.collection import collection
from perflab.api.habit_types import Entry, EntryChange, EntryPage, EntryQuery, NewEntry
from perflab.api.invalidation import check_in_tags, entries_tag, entry_key, entry_rows_tag
from perflab.api.parts import Parts
from perflab.api.reading import Reads
from perflab.api.routing import Resource
from perflab.api.writing import Stale, Writes, given_fields


class Entries:
    """The endpoints of a habit's entries."""

    def __init__(self, parts: Parts) -> None:
        self._body = parts.body
        self._reads = Reads(parts)
        self._writes = Writes(parts)

    def routes(self) -> list[Resource]:
        """The routes of these endpoints."""
        return collection(
            "/habits/{id}/entries",
            self,
            query=EntryQuery,
            page=EntryPage,
            row=Entry,
            new=self._body(NewEntry),
            change=self._body(EntryChange),
            item="entry_id",
            within=["id"],
            problems=[409],
        )

    async def list(self, request: Request, query: EntryQuery) -> Response:
        """A page of a habit's entries."""
        user_id, habit_id = signed_in(request).user_id, path_id(request)
        return await self._reads.page(
            entries_tag(user_id, habit_id),
            query,
            lambda conn, after: store.list_entries(conn, user_id, habit_id, query, after),
            store.entry_place,
            EntryPage,
        )

    async def get(self, request: Request) -> Response:
        """One entry of a habit."""
        user_id, habit_id, entry_id = _ids(request)
        return await self._reads.one(
            entry_key(user_id, habit_id, entry_id),
            lambda conn: store.get_entry(conn, user_id, habit_id, entry_id),
            tags=[entry_rows_tag(user_id, habit_id)],
        )

    async def create(self, request: Request, new: NewEntry) -> Response:
        """What was done on a day; 409 where that day has an entry."""
        user_id, habit_id = signed_in(request).user_id, path_id(request)
        now = self._writes.now()
        tag = entries_tag(user_id, habit_id)
        return await self._writes.create(
            request,
            new,
            Entry,
            lambda conn: store.insert_entry(conn, user_id, habit_id, new),
            location=lambda entry: f"/habits/{habit_id}/entries/{entry.id}",
            stale=lambda _: Stale(tags=[tag, *check_in_tags(new.entry_date, now)]),
        )

    async def change(self, request: Request, change: EntryChange) -> Response:
        """The entry with another amount."""
        user_id, habit_id, entry_id = _ids(request)
        given = given_fields(change)
        return await self._writes.change(
            Entry,
            lambda conn: store.change_entry(conn, user_id, habit_id, entry_id, given),
            stale=_stale(user_id, habit_id, entry_id, self._writes.now()),
        )

    async def delete(self, request: Request) -> Response:
        """The end of an entry."""
        user_id, habit_id, entry_id = _ids(request)
        return await self._writes.delete(
            Entry,
            lambda conn: store.delete_entry(conn, user_id, habit_id, entry_id),
            stale=_stale(user_id, habit_id, entry_id, self._writes.now()),
        )


def _ids(request: Request) -> tuple[int, int, int]:
    """User, habit and entry."""
    return signed_in(request).user_id, path_id(request), path_id(request, "entry_id")


def _stale(
    user_id: int, habit_id: int, entry_id: int, now: datetime
) -> Callable[[Entry | None], Stale]:
    def stale(entry: Entry | None) -> Stale:
        shown = check_in_tags(None if entry is None else entry.entry_date, now)
        return Stale(
            [entry_key(user_id, habit_id, entry_id)], [entries_tag(user_id, habit_id), *shown]
        )

    return stale
