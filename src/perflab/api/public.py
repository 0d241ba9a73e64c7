"""``GET /public/stats``: the same for everybody, so that caches in front may keep it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perflab.api.bodies import encode, json_response
from perflab.api.parts import Parts
from perflab.api.routing import Operation, Resource, resource
from perflab.cache import PUBLIC_CONTENT, Codec
from perflab.cache.edge import cache_tag
from perflab.database.pool import Connection
from perflab.schema.queries import find_query

PUBLIC: Final = msgspec.structs.replace(PUBLIC_CONTENT, codec=Codec(bytes, compression=None))
TAGS: Final = ("public:stats", "users", "habit_entries")
"""What writes users or check-ins purges the tag of the table; one call reaches the edge too."""
DAYS: Final = 7
BROWSER_S: Final = 60
"""A purge does not reach browsers, so they keep it for a minute only."""

_CHECKINS: Final = find_query("checkins_per_day").sql.encode()


class CheckIns(msgspec.Struct, frozen=True):
    """Habits ticked on one day, by everyone."""

    day: date
    checkins: int
    amount: int


class PublicStats(msgspec.Struct, frozen=True):
    """What anybody may know."""

    users: int
    checkins: list[CheckIns]


class Public:
    """The endpoint of the public figures."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._edge_control = (
            f"max-age={PUBLIC.edge_ttl_s:.0f}, stale-while-revalidate={PUBLIC.stale_s:.0f}, "
            f"stale-if-error={PUBLIC.stale_if_error_s:.0f}"
        )
        self._tags = cache_tag(TAGS)

    def routes(self) -> list[Resource]:
        """The routes of these endpoints."""
        return [
            resource("/public/stats", get=Operation(self.stats, {200: PublicStats}, anybody=True))
        ]

    async def stats(self, request: Request) -> Response:
        """The figures, with what edges need to know (RFC 9213)."""
        if request.query_params:
            # each query string would be an entry of its own at the edge
            return json_response(await self._body(), cache_control="no-store")
        response = json_response(await self._body(), cache_control=f"public, max-age={BROWSER_S}")
        response.headers["cdn-cache-control"] = self._edge_control
        response.headers["cache-tag"] = self._tags
        return response

    async def _body(self) -> bytes:
        async def load() -> Any:
            now = datetime.fromtimestamp(self._parts.clock(), UTC)
            since = (now - timedelta(days=DAYS)).date()
            return encode(await self._parts.pool.read(lambda conn: _read(conn, since)))

        body: bytes = await self._parts.cache.get_or_load("public:stats", load, PUBLIC, TAGS)
        return body


async def _read(conn: Connection, since: date) -> PublicStats:
    [(users,)] = await (await conn.execute("SELECT count(*) FROM users")).fetchall()
    found = await (await conn.execute(_CHECKINS, {"since": since})).fetchall()
    return PublicStats(users, [CheckIns(*row) for row in found])
