"""What every edge cache offers, and how one is purged along with the tiers behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from perflab.cache.entry import CacheError, Invalidation


class EdgeError(CacheError):
    """An edge cache was given something unusable, or could not be purged."""


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    """What a purge did so far."""

    names: int
    """URLs, tags and prefixes that it named; everything counts as one."""
    removed: int | None
    """Stored responses that were dropped; None where the edge does not say."""
    requests: int = 0
    """Calls that it took, where the edge has an API."""


class Edge(Protocol):
    """A shared HTTP cache in front of an origin."""

    async def purge(
        self,
        *,
        urls: Iterable[str] = (),
        tags: Iterable[str] = (),
        prefixes: Iterable[str] = (),
        everything: bool = False,
    ) -> Purged:
        """Drop stored responses, in all their variants.

        Args:
            urls: with scheme and host: ``https://example.org/tasks?page=2``.
            tags: what the origin's ``Cache-Tag`` named, as the caches behind it know them.
            prefixes: host and the beginning of a path: ``example.org/tasks/``.
            everything: whatever the edge has stored for this site.

        Raises:
            EdgeError: a name that cannot be one, or an edge that refuses.
        """
        ...

    async def close(self) -> None:
        """End what is under way."""
        ...


class EdgePurger:
    """An edge as one of the caches ``beyond`` a ``TieredCache``.

    >>> cache = TieredCache(memory, redis, beyond=[EdgePurger(edge)])

    Args:
        edge: the edge to purge.
        urls_of: the URLs whose responses were made of a key. By default a key that is a URL
            names itself, and another key names none: give responses made of it a tag.
    """

    def __init__(self, edge: Edge, urls_of: Callable[[str], Iterable[str]] | None = None) -> None:
        self._edge = edge
        self._urls_of = urls_of or _itself

    async def purge(self, invalidation: Invalidation) -> None:
        """Drop what was made of these keys and tags; an EdgeError says what went wrong."""
        urls = [url for key in invalidation.keys for url in self._urls_of(key)]
        if urls or invalidation.tags or invalidation.everything:
            await self._edge.purge(
                urls=urls, tags=invalidation.tags, everything=invalidation.everything
            )


def _itself(key: str) -> tuple[str, ...]:
    return (key,) if key.startswith(("http://", "https://")) else ()
