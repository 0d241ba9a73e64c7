"""Lists by keyset cursor: what every query of a list has, and where a row stands in it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from perflab.api.cursors import Value

MOST_ROWS: Final = 100


class PageQuery(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, cache_hash=True
):
    """What the query of any list may have; a subclass adds filters and order."""

    limit: Annotated[int, Meta(ge=1, le=MOST_ROWS)] = 25
    cursor: str | UnsetType = UNSET

    def filters(self) -> str:
        """Everything but the cursor and how long a page is, as text."""
        return _filters(self)

    def digest(self) -> str:
        """A hash of all of it, short and printable whatever the client wrote."""
        return _digest(self)


class Place(NamedTuple):
    """Where a row stands in a list."""

    value: Value
    """Of the column that the list is sorted by."""
    id: int
    """It decides between equal ones."""


@lru_cache(1024)
def _filters(query: PageQuery) -> str:
    told = msgspec.structs.replace(query, cursor=UNSET, limit=25)
    return msgspec.json.encode(told).decode()


@lru_cache(1024)
def _digest(query: PageQuery) -> str:
    return hashlib.sha256(f"{query.filters()} {query.limit} {query.cursor}".encode()).hexdigest()
