"""A site behind the edge: an origin in a process of its own, nginx in front, and who purges it."""

from __future__ import annotations

import http.client
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from perflab.cache import MemoryTier, TieredCache
from perflab.cache.edge import EdgePurger, NginxEdge, NginxSettings, RedisTagIndex, render
from perflab.services import Nginx, Redis
from perflab.studies.cache.driving import own_tier
from perflab.studies.cache.origin import HOST, PATH, Orders
from perflab.studies.child import Child
from perflab.studies.prefixes import own_prefix

LONGEST_S: Final = 2.0
"""What the origin may take. Short, so that a purge's last repetition comes within the run."""
_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Site:
    """Where to ask for a page, with and without the edge."""

    nginx: Nginx
    settings: NginxSettings
    redis: Redis
    prefix: str
    """Of the index of tags."""

    @asynccontextmanager
    async def purging(self) -> AsyncIterator[tuple[TieredCache, NginxEdge]]:
        """A tiered cache whose ``invalidate`` reaches this edge, and the edge."""
        index = RedisTagIndex(self.redis.url(), prefix=self.prefix)
        edge = NginxEdge(self.settings, index)
        try:
            async with (
                edge,
                own_tier(self.redis, "site") as shared,
                TieredCache(MemoryTier(), shared, beyond=[EdgePurger(edge)]) as cache,
            ):
                await shared.ping()
                yield cache, edge
        finally:
            await index.close()

    def through_edge(self) -> Client:
        """A connection to the edge."""
        return Client(self.settings.port)

    def at_origin(self) -> Client:
        """A connection past it."""
        return Client(self.settings.origin_port)


class Client:
    """One connection that is kept, and opened again after it broke."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_S)

    def ask(self, target: str, *, method: str = "GET") -> tuple[bytes, Mapping[str, str]]:
        """Body and fields of an answer; an OSError or HTTPException where there is none."""
        try:
            self._connection.request(method, target)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if answer.status not in (200, 204):
            raise http.client.HTTPException(f"{method} {target} was answered {answer.status}")
        return body, dict(answer.getheaders())

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


@contextmanager
def open_site(nginx: Nginx, redis: Redis, *, control: str, work_s: float) -> Iterator[Site]:
    """Pages with this ``CDN-Cache-Control``, each ``work_s`` seconds in the making."""
    prefix = own_prefix(redis, "edge")
    orders = Orders(redis.url(), prefix, control, work_s, LONGEST_S)
    with Child(Path(__file__).with_name("origin.py")) as origin:
        origin.say(msgspec.json.encode(orders).decode())
        settings = NginxSettings(
            host=nginx.host,
            port=nginx.port,
            origin_port=int(origin.hear()),
            folder=str(nginx.cache),
            longest_response_s=LONGEST_S,
        )
        nginx.serve(render(settings))
        yield Site(nginx, settings, redis, prefix)


def page(number: int, query: str = "") -> str:
    """The path of a page."""
    return f"{PATH}{number}" + (f"?{query}" if query else "")
