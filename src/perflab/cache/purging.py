"""Purges: this process's copies at once, then Redis, then the caches further out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from perflab.cache.entry import Invalidation
from perflab.cache.flights import Flights
from perflab.cache.memory import MemoryTier
from perflab.cache.owed import OwedPurges
from perflab.cache.pauses import RETRY_S
from perflab.cache.shared import Purger, SharedTier


class Purging:
    """Carries out the purges of one cache, and repeats those that Redis did not hear of.

    Args:
        memory: this process's copies.
        shared: what all processes see.
        beyond: caches further out.
        flights: loads under way, which nobody may join who comes after the purge.
    """

    def __init__(
        self,
        memory: MemoryTier | None,
        shared: SharedTier | None,
        beyond: Sequence[Purger],
        flights: Flights,
    ) -> None:
        self._memory = memory
        self._shared = shared
        self._beyond = tuple(beyond)
        self._flights = flights
        self._payer: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[bool]] = set()
        self._closed = False
        self.owed = OwedPurges()
        """What Redis could not be told of yet."""

    def drop(self, names: Invalidation) -> None:
        """Forget this process's copies, and let nobody join loads that began before."""
        self._flights.detach(names)
        if self._memory is not None:
            self._memory.invalidate(names)

    async def purge(self, names: Invalidation) -> bool:
        """Purge all tiers, to the end even if the caller is cancelled; False if Redis is away."""
        self.drop(names)
        purge = asyncio.get_running_loop().create_task(self._purge(names))
        self._under_way.add(purge)
        purge.add_done_callback(self._under_way.discard)
        return await asyncio.shield(purge)

    async def close(self) -> None:
        """Await the purges under way; what is still owed is forgotten."""
        self._closed = True
        if self._payer is not None:
            self._payer.cancel()
            await asyncio.wait((self._payer,))
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _purge(self, names: Invalidation) -> bool:
        reached = await self._tell(names)
        if not reached:
            self.owed.add(names)
            if not self._closed and (self._payer is None or self._payer.done()):
                self._payer = asyncio.get_running_loop().create_task(self._pay())
        await self._purge_beyond(names)
        return reached

    async def _tell(self, names: Invalidation) -> bool:
        """Purge the shared tier; False if it is away."""
        if self._shared is None:
            return True
        reached = await self._shared.invalidate(
            keys=names.keys, tags=names.tags, everything=names.everything
        )
        self.drop(names)  # what was read from it in the meantime
        return reached

    async def _purge_beyond(self, names: Invalidation) -> None:
        outcomes = await asyncio.gather(
            *(purger.purge(names) for purger in self._beyond), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _pay(self) -> None:
        """Tell Redis of the purges that it missed, until it has heard all of them."""
        while self.owed:
            await asyncio.sleep(RETRY_S)
            reached = True
            while self.owed and reached:
                reached = await self._tell(self.owed.take())
                if reached:
                    self.owed.paid()
                else:
                    self.owed.unpaid()
