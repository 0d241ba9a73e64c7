"""``GET /public/stats``: the same for everybody, so that caches in front may keep it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perflab.api.invalidation import CHECK_INS, PUBLIC_DAYS
from perflab.api.parts import Parts
from perflab.api.reading import Reads, as_sent
from perflab.api.routing import Operation, Resource, resource
from perflab.cache import PUBLIC_CONTENT
from perflab.cache.edge import cache_tag
from perflab.database.pool import Connection
from perflab.schema.queries import find_query

PUBLIC: Final = as_sent(PUBLIC_CONTENT)
TAGS: Final = ("public:stats", "users", CHECK_INS)
"""What writes users or check-ins purges the tag of the table; one call reaches the edge too."""
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
        self._clock = parts.clock
        self._reads = Reads(parts)
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
        """Figures for everybody, with what edges need to know (RFC 9213)."""
        since = (datetime.fromtimestamp(self._clock(), UTC) - timedelta(days=PUBLIC_DAYS)).date()
        response = await self._reads.one(
            "public:stats", lambda conn: _read(conn, since), policy=PUBLIC, tags=TAGS
        )
        if request.scope["query_string"]:
            # each query string would be an entry of its own at the edge
            response.headers["cache-control"] = "no-store"
            return response
        response.headers["cache-control"] = f"public, max-age={BROWSER_S}"
        response.headers["cdn-cache-control"] = self._edge_control
        response.headers["cache-tag"] = self._tags
        return response


async def _read(conn: Connection, since: date) -> PublicStats:
    [(users,)] = await (await conn.execute("SELECT count(*) FROM users")).fetchall()
    found = await (await conn.execute(_CHECKINS, {"since": since})).fetchall()
    return PublicStats(users, [CheckIns(*row) for row in found])
