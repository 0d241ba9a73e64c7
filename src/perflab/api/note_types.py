"""Notes as clients see, filter, create and change them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from perflab.api.bodies import TEXT, Title
from perflab.api.paging import PageQuery

Tag = Annotated[str, Meta(min_length=1, max_length=60, pattern=TEXT)]
Text = Annotated[str, Meta(max_length=20_000, pattern=TEXT)]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=20)]


class ListedNote(msgspec.Struct, frozen=True):
    """A note in a list, which does not show its text."""

    id: int
    title: str
    tags: list[str]
    pinned: bool
    created_at: datetime
    updated_at: datetime


class Note(ListedNote, frozen=True):
    """One note."""

    body: str


class NotePage(msgspec.Struct, frozen=True):
    """Some notes, and the cursor of what follows; None at the end."""

    notes: list[ListedNote]
    next: str | None


class NoteQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a list: notes that carry every ``tag`` given."""

    tag: Annotated[tuple[Tag, ...], Meta(max_length=5)] = ()
    pinned: bool | UnsetType = UNSET
    sort: Literal["updated_at", "-updated_at", "created_at", "-created_at"] = "-updated_at"


class NewNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST. A tag that is given twice counts once."""

    title: Title
    body: Text = ""
    tags: Tags = ()
    pinned: bool = False


class NoteChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH: what is not in it stays."""

    title: Title | UnsetType = UNSET
    body: Text | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
