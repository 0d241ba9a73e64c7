"""Loads and refreshes: begun once a key, joined by all who want it, entered in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Final

from perflab.cache.entry import CacheError, Entry
from perflab.cache.filling import Filler, Wanted
from perflab.cache.flights import Flight, Flights
from perflab.cache.ledger import Book, Trail
from perflab.cache.pauses import Pauses
from perflab.cache.xfetch import REACH, is_due

_WITHIN: Final[ContextVar[Flight | None]] = ContextVar("perflab.cache.load", default=None)
"""The load whose loader is running."""


class Loads:
    """What one cache is loading.

    Args:
        flights: the loads under way; purges detach them.
        filler: gets a value that no tier has.
        books: of the ledger, by policy; refreshes are entered there.
        clock: wall-clock seconds.
        uniform: the next random number in [0, 1), for early refreshes.
    """

    def __init__(
        self,
        flights: Flights,
        filler: Filler,
        books: Mapping[str, Book],
        clock: Callable[[], float],
        uniform: Callable[[], float],
    ) -> None:
        self._flights = flights
        self._filler = filler
        self._books = books
        self._clock = clock
        self._uniform = uniform
        self._pauses = Pauses()

    def under_way(self, key: str) -> Flight | None:
        """The load of ``key`` that a newcomer may join."""
        return self._flights.get(key)

    def launch(self, wanted: Wanted, known: Entry | None, *, refresh: bool) -> Flight:
        """Begin a load; ``known`` is the entry that it is to replace."""
        flight = Flight(wanted.key, wanted.tags, refresh=refresh)
        self._flights.start(flight, self._fly(wanted, flight, known))
        return flight

    def refreshed(self, wanted: Wanted, held: Entry) -> Flight | None:
        """The refresh of an outdated entry, begun now if need be; None shortly after a failure."""
        flight = self._flights.get(wanted.key)
        if flight is None and wanted.key not in self._pauses:
            flight = self.launch(wanted, held, refresh=True)
        return flight

    def refresh_early(self, wanted: Wanted, entry: Entry) -> None:
        """Begin a refresh if XFetch says so and none is under way or has just failed."""
        policy = wanted.policy
        remaining_s = entry.expires_at - self._clock()
        if (
            policy.early_refresh
            and remaining_s < entry.load_s * policy.early_beta * REACH
            and is_due(remaining_s, entry.load_s, policy.early_beta, self._uniform)
        ):
            self.refreshed(wanted, entry)

    async def join(self, flight: Flight) -> Entry:
        """What the load gives; its exception, or a CacheError where the cache was closed.

        A CacheError too, where a loader would wait for a load that waits for it.
        """
        within = _WITHIN.get()
        if within is None:
            await flight.landed()
        else:
            await _landed_for(within, flight)
        if flight.task.cancelled():
            raise CacheError(f"the cache was closed while {flight.key!r} was being loaded")
        return flight.task.result()

    async def loaded(self, wanted: Wanted, trail: Trail) -> Entry:
        """The entry as a load under way, or begun here, gives it."""
        flight = self._flights.get(wanted.key)
        if flight is not None:
            trail.loader = "coalesced"
            return await self.join(flight)
        flight = self.launch(wanted, None, refresh=False)
        try:
            return await self.join(flight)
        finally:
            if not flight.task.done():
                flight.refresh = True  # the caller leaves; the load goes on without it
            elif flight.called:
                failed = flight.task.cancelled() or flight.task.exception() is not None
                trail.loader = "miss" if failed else "hit"
                trail.load_s = flight.load_s
                trail.stored = flight.stored
            elif flight.adopted:
                trail.loader = "coalesced"

    async def _fly(self, wanted: Wanted, flight: Flight, known: Entry | None) -> Entry:
        failed = True
        _WITHIN.set(flight)
        try:
            entry = await self._filler.obtain(wanted, flight, known)
            failed = False
            return entry
        finally:
            self._pauses.note(wanted.key, failed=failed)
            if flight.refresh:
                book = self._books[wanted.policy.name]
                book.enter_refresh(flight.load_s, adopted=flight.adopted, failed=failed)


async def _landed_for(within: Flight, flight: Flight) -> None:
    """Wait for a load from within another one's loader."""
    if flight.needs(within):
        raise CacheError(
            f"the loader of {within.key!r} asks the cache for {flight.key!r}, which waits for that"
            " very load; let it ask the source instead"
        )
    within.waits_for.add(flight)
    try:
        await flight.landed()
    finally:
        within.waits_for.discard(flight)
