"""``/notes``: by tags, with writes that are applied exactly once."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from perflab.api import note_store as store
from perflab.api.authentication import signed_in
from perflab.api.bodies import path_id
from perflab.api.collection import collection
from perflab.api.invalidation import note_key, notes_tag
from perflab.api.note_types import NewNote, Note, NoteChange, NotePage, NoteQuery
from perflab.api.parts import Parts
from perflab.api.reading import Reads
from perflab.api.routing import Resource
from perflab.api.writing import Stale, Writes, given_fields


class Notes:
    """The endpoints of notes."""

    def __init__(self, parts: Parts) -> None:
        self._body = parts.body
        self._reads = Reads(parts)
        self._writes = Writes(parts)

    def routes(self) -> list[Resource]:
        """The routes of these endpoints."""
        return collection(
            "/notes",
            self,
            query=NoteQuery,
            page=NotePage,
            row=Note,
            new=self._body(NewNote),
            change=self._body(NoteChange),
        )

    async def list(self, request: Request, query: NoteQuery) -> Response:
        """A page of the user's notes; with ``tag``, of those that carry each of them."""
        user_id = signed_in(request).user_id
        return await self._reads.page(
            notes_tag(user_id),
            query,
            lambda conn, after: store.list_notes(conn, user_id, query, after),
            lambda note: store.place(note, query.sort),
            NotePage,
        )

    async def get(self, request: Request) -> Response:
        """One note of the user's, with its text."""
        user_id, note_id = signed_in(request).user_id, path_id(request)
        return await self._reads.one(
            note_key(user_id, note_id), lambda conn: store.get_note(conn, user_id, note_id)
        )

    async def create(self, request: Request, new: NewNote) -> Response:
        """A new note; with ``Idempotency-Key`` once, however often it is asked for."""
        user_id = signed_in(request).user_id
        now = self._writes.now()
        return await self._writes.create(
            request,
            new,
            Note,
            lambda conn: store.insert_note(conn, user_id, new, now),
            location=lambda note: f"/notes/{note.id}",
            stale=lambda _: Stale(tags=[notes_tag(user_id)]),
        )

    async def change(self, request: Request, change: NoteChange) -> Response:
        """The note with some fields changed."""
        user_id, note_id = signed_in(request).user_id, path_id(request)
        given, now = given_fields(change), self._writes.now()
        return await self._writes.change(
            Note,
            lambda conn: store.change_note(conn, user_id, note_id, given, now),
            stale=lambda _: Stale([note_key(user_id, note_id)], [notes_tag(user_id)]),
        )

    async def delete(self, request: Request) -> Response:
        """The end of a note."""
        user_id, note_id = signed_in(request).user_id, path_id(request)
        return await self._writes.delete(
            Note,
            lambda conn: store.delete_note(conn, user_id, note_id),
            stale=lambda _: Stale([note_key(user_id, note_id)], [notes_tag(user_id)]),
        )
