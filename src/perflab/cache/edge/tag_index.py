"""Which URLs bear a tag: written by the origin, read by whoever purges."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from importlib.resources import files
from typing import Any, Final, Protocol

from perflab.arguments import check_seconds, check_whole
from perflab.cache.entry import CacheError, check_name
from perflab.own_loop import OwnLoop
from perflab.redis_link import FAILURES, open_link

MOST_URLS: Final = 10_000
"""Under one tag; a tag with more has all files looked at when it is purged."""

_REGISTER: Final = files(__package__).joinpath("register.lua").read_text(encoding="utf-8")
_OVERFLOW: Final = b"*"
"""Instead of the URLs of a tag that has too many; no URL is spelled like that."""


class TagIndex(Protocol):
    """Tags and the URLs of responses that bear them, in the spelling of ``names``."""

    async def add(self, url: str, tags: Collection[str], lasts_s: float) -> bool:
        """Register a response before it is sent; False if that was not possible.

        ``lasts_s`` is how long at most it can be served.
        """
        ...

    async def urls(self, tags: Collection[str]) -> frozenset[str] | None:
        """The URLs under any of these tags; None if the index cannot tell all of them."""
        ...


class RedisTagIndex:
    """The index in one Redis or Redis Cluster, shared by origins and purging processes.

    Each tag is a sorted set of URLs, scored by when their responses can be served no longer.
    One script per tag adds a URL, drops those whose time is over, and sets the time of the whole
    set to that of the last URL: one key each, so atomic on a cluster as well, and a client that
    dies between two tags leaves nothing that does not end by itself.

    Reading changes nothing. So a purge that dies can be repeated, and one that races a
    registration cannot remove it; a URL is purged once too often rather than too seldom. The
    other way, a version per tag as in the Redis tier, is no use here: nginx cannot compare
    versions, it must be told URLs.

    The size is bounded: ``most_urls`` a tag, then the set becomes a mark "too many". Redis may
    lose a set (restart, eviction), which cannot be noticed; so whoever purges must not rely on the
    index alone, and ``NginxEdge`` does not.

    Args:
        url: as for RedisTier.
        prefix: of all keys.
        cluster: whether ``url`` is any node of a Redis Cluster.
        timeout_s: for one call; a Redis that takes longer counts as away.
        most_urls: under one tag.
        clock: wall-clock seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "perflab:",
        cluster: bool = False,
        timeout_s: float = 1.0,
        most_urls: int = MOST_URLS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_seconds("timeout_s", timeout_s, CacheError)
        check_whole("most_urls", most_urls, CacheError)
        self._prefix = check_name(prefix, "prefix") + "e:"
        self._link = open_link(url, cluster=cluster, timeout_s=timeout_s, error=CacheError)
        self._home = OwnLoop("RedisTagIndex", CacheError)
        self._timeout_s = timeout_s
        self._most_urls = most_urls
        self._clock = clock

    def __repr__(self) -> str:
        return f"<RedisTagIndex at {self._link.where}>"

    async def add(self, url: str, tags: Collection[str], lasts_s: float) -> bool:
        """Register a URL under each of these tags."""
        now_ms = round(self._clock() * 1000)
        end_ms = now_ms + max(1, round(lasts_s * 1000))
        arguments = (now_ms, end_ms, self._most_urls, url)
        return (
            await self._run(
                [("EVAL", _REGISTER, 1, self._prefix + tag, *arguments) for tag in sorted(tags)]
            )
            is not None
        )

    async def urls(self, tags: Collection[str]) -> frozenset[str] | None:
        """The URLs under any of these tags; None if one has too many, or Redis is away."""
        now_ms = round(self._clock() * 1000)
        replies = await self._run(
            [("ZRANGEBYSCORE", self._prefix + tag, f"({now_ms}", "+inf") for tag in sorted(tags)]
        )
        if replies is None:
            return None
        found = {url for reply in replies for url in reply}
        return None if _OVERFLOW in found else frozenset(url.decode() for url in found)

    async def close(self) -> None:
        """Close the connections."""
        self._home.check()
        await self._link.close()

    async def _run(self, commands: list[tuple[Any, ...]]) -> list[Any] | None:
        """The replies, or None if one of the commands failed."""
        self._home.check()
        try:
            async with asyncio.timeout(self._timeout_s):
                replies = await self._link.run(commands)
        except FAILURES:
            return None
        return None if any(isinstance(reply, BaseException) for reply in replies) else replies
