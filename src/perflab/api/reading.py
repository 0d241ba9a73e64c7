"""Reads through the cache: bodies are kept as they are sent, a hit is not even decoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from perflab.api.bodies import encode, json_response
from perflab.api.paging import PageQuery, Place
from perflab.api.parts import Parts
from perflab.api.problems import no_such_thing
from perflab.cache import ABSENT, ACTIVE_TASKS, CachePolicy, Codec
from perflab.database.pool import Connection

R = TypeVar("R")

OWN_COPY_S: Final = 5.0
"""How long a process answers out of its own memory: every write tells all processes, and one that
loses the channel drops its copies, so this bounds what a message lost on the way can do."""


def as_sent(policy: CachePolicy) -> CachePolicy:
    """The policy for bodies as they are sent."""
    codec = Codec(bytes, compression=None)
    return msgspec.structs.replace(policy, codec=codec, memory_ttl_s=OWN_COPY_S)


OWN_ROWS: Final = as_sent(ACTIVE_TASKS)


class Reads:
    """Answers with what users have."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def one(
        self,
        key: str,
        fetch: Callable[[Connection], Awaitable[msgspec.Struct | None]],
        *,
        policy: CachePolicy = OWN_ROWS,
        tags: Sequence[str] = (),
    ) -> Awaitable[Response]:
        """What lies under ``key``, or what ``fetch`` finds; a 404 for None."""

        async def load() -> Any:
            found = await self._parts.pool.read(fetch)
            return ABSENT if found is None else encode(found)

        return self._stored(key, load, policy, tags)

    def page(
        self,
        name: str,
        query: PageQuery,
        fetch: Callable[[Connection, Place | None], Awaitable[list[R] | None]],
        place: Callable[[R], Place],
        page: Callable[[list[R], str | None], msgspec.Struct],
    ) -> Awaitable[Response]:
        """A page of the list ``name``, which is also the tag of all its pages in the cache.

        Args:
            name: tells the kind and the owner; nobody is served another's list.
            query: of the request.
            fetch: up to ``limit`` + 1 rows behind a place, the last only says that there are
                more; None where there is no such list, which is a 404.
            place: where a row stands.
            page: makes the body of the rows and the cursor of what follows; None at the end.
        """
        after = None
        if query.cursor is not UNSET:
            after = Place(*self._parts.cursors.read(_listing(name, query), query.cursor))

        async def load() -> Any:
            found = await self._parts.pool.read(lambda conn: fetch(conn, after))
            if found is None:
                return ABSENT
            rows, following = found[: query.limit], None
            if len(found) > query.limit:
                following = self._parts.cursors.write(_listing(name, query), *place(rows[-1]))
            return encode(page(rows, following))

        return self._stored(f"{name}:{query.digest()}", load, OWN_ROWS, [name])

    async def _stored(
        self,
        key: str,
        load: Callable[[], Awaitable[Any]],
        policy: CachePolicy,
        tags: Sequence[str],
    ) -> Response:
        body = await self._parts.cache.get_or_load(key, load, policy, tags)
        if not isinstance(body, bytes):
            raise no_such_thing()
        return json_response(body)


def _listing(name: str, query: PageQuery) -> str:
    """What a cursor is good for."""
    return f"{name}:{query.filters()}"
