"""Lists by keyset cursor: what every query of a list has, and pages cached as they are sent."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Meta
from starlette.responses import Response

from perflab.api.bodies import encode, json_response
from perflab.api.cursors import Value
from perflab.api.parts import Parts
from perflab.api.problems import no_such_thing
from perflab.cache import ABSENT, ACTIVE_TASKS, CachePolicy, Codec
from perflab.database.pool import Connection

MOST_ROWS: Final = 100
AS_SENT: Final[CachePolicy] = msgspec.structs.replace(
    ACTIVE_TASKS, codec=Codec(bytes, compression=None)
)
"""Bodies as they are sent: a hit is neither decoded nor encoded."""


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the query of any list may have; a subclass adds filters and order."""

    limit: Annotated[int, Meta(ge=1, le=MOST_ROWS)] = 25
    cursor: str | None = None

    def filters(self) -> str:
        """Everything but the cursor and how long a page is, as text."""
        told = msgspec.structs.replace(self, cursor=None, limit=25)
        return msgspec.json.encode(told).decode()


class Place(NamedTuple):
    """Where a row stands in a list."""

    value: Value
    """Of the column that the list is sorted by."""
    id: int
    """It decides between equal ones."""


R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


class Page(Protocol[R_contra]):
    """Makes the body of a page out of its rows and the cursor of what follows."""

    def __call__(self, rows: R_contra, following: str | None, /) -> Any:
        """The body; ``following`` is None at the end of the list."""


class Lists:
    """Answers for pages of lists."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def page(
        self,
        name: str,
        query: PageQuery,
        fetch: Callable[[Connection, Place | None], Awaitable[list[R] | None]],
        place: Callable[[R], Place],
        page: Page[list[R]],
    ) -> Response:
        """A page of the list ``name``, which is also the tag of all its pages in the cache.

        Args:
            name: tells the kind and the owner; nobody is served another's list.
            query: of the request.
            fetch: up to ``limit`` + 1 rows behind a place, the last only says that there are
                more; None where there is no such list, which is a 404.
            place: where a row stands.
            page: makes the body.
        """
        listing = f"{name}:{query.filters()}"
        after = None
        if query.cursor is not None:
            after = Place(*self._parts.cursors.read(listing, query.cursor))

        async def load() -> Any:
            found = await self._parts.pool.read(lambda conn: fetch(conn, after))
            if found is None:
                return ABSENT
            rows, following = found[: query.limit], None
            if len(found) > query.limit:
                following = self._parts.cursors.write(listing, *place(rows[-1]))
            return encode(page(rows, following))

        asked = f"{listing} {query.limit} {query.cursor}"
        key = f"{name}:{hashlib.sha256(asked.encode()).hexdigest()}"
        return await stored_json(self._parts, key, load, [name])


async def stored_json(
    parts: Parts, key: str, load: Callable[[], Awaitable[Any]], tags: Sequence[str] = ()
) -> Response:
    """JSON out of the cache or of ``load``; a 404 where that returned ABSENT."""
    body = await parts.cache.get_or_load(key, load, AS_SENT, tags)
    if not isinstance(body, bytes):
        raise no_such_thing()
    return json_response(body)
