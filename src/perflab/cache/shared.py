"""What TieredCache needs of the tier that processes share; RedisTier has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from perflab.cache.codec import Codec
from perflab.cache.entry import Entry, Fetched, Invalidation, Lease


class SharedTier(Protocol):
    """A tier behind the memory of several processes.

    No method raises because the tier is away: each has an answer that says so.
    """

    async def get(self, key: str, tags: Sequence[str] = (), codec: Codec | None = None) -> Fetched:
        """What is stored under ``key``."""

    async def lease(
        self,
        key: str,
        tags: Sequence[str] = (),
        ttl_s: float = ...,
        *,
        after: Entry | None = None,
        codec: Codec | None = None,
    ) -> Lease | None:
        """The right to fill ``key``.

        None if somebody else has it, if a fresh entry newer than ``after`` is there, or if the
        tier is away.
        """

    async def fill(
        self,
        lease: Lease,
        entry: Entry,
        ttl_s: float | None = None,
        codec: Codec | None = None,
    ) -> bool:
        """Store ``entry`` and end the lease; False if it no longer held or the tier is away."""

    async def release(self, lease: Lease) -> None:
        """End the lease without a value."""

    async def wait(self, key: str, timeout_s: float) -> bool:
        """True when the lease of ``key`` is gone; False after ``timeout_s`` or without answer."""

    async def invalidate(
        self, *, keys: Iterable[str] = (), tags: Iterable[str] = (), everything: bool = False
    ) -> bool:
        """Drop values and leases, and tell all processes; False if that is not certain."""

    def listen(self, callback: Callable[[Invalidation], object]) -> None:
        """Call back for what any process invalidates, from now on."""


class Purger(Protocol):
    """A cache further out, such as a shared HTTP cache, purged by the same call."""

    async def purge(self, invalidation: Invalidation) -> None:
        """Drop what was made of these keys and tags; a CacheError says what went wrong."""
