"""Single flight: one load of a key at a time, and everyone who wants the key waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from perflab.cache.entry import Entry, Invalidation


class Flight:
    """One load under way."""

    __slots__ = (
        "adopted",
        "called",
        "key",
        "load_s",
        "refresh",
        "stored",
        "tags",
        "task",
        "waits_for",
    )

    def __init__(self, key: str, tags: tuple[str, ...], *, refresh: bool) -> None:
        self.key = key
        self.tags = tags
        self.refresh = refresh
        """Whether no request depends on it: there is an older value, or its caller has left."""
        self.called = False
        """Whether the loader was called."""
        self.adopted = False
        """Whether another process had loaded the value."""
        self.stored = False
        """Whether some tier took what was loaded."""
        self.load_s = 0.0
        """How long the loader took."""
        self.waits_for: set[Flight] = set()
        """Other loads whose values this one's loader is waiting for."""
        self.task: asyncio.Task[Entry]

    def needs(self, other: Flight) -> bool:
        """Whether it cannot end before the other one does."""
        seen: set[Flight] = set()
        rest = [self]
        while rest:
            flight = rest.pop()
            if flight is other:
                return True
            if flight not in seen:
                seen.add(flight)
                rest.extend(flight.waits_for)
        return False

    async def landed(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended; False if it has not after ``timeout_s``.

        Cancelling whoever waits leaves the load and all others who wait alone.
        """
        if self.task.done():
            return True
        done, _ = await asyncio.wait((self.task,), timeout=timeout_s)
        return bool(done)


class Flights:
    """The loads under way in one event loop, at most one a key that newcomers may join."""

    def __init__(self) -> None:
        self._current: dict[str, Flight] = {}
        self._all: set[asyncio.Task[Entry]] = set()

    def __len__(self) -> int:
        return len(self._all)

    def get(self, key: str) -> Flight | None:
        """The load of ``key`` that a newcomer may join."""
        return self._current.get(key)

    def start(self, flight: Flight, work: Coroutine[Any, Any, Entry]) -> None:
        """Run ``work`` as the load of the flight's key."""
        task = asyncio.get_running_loop().create_task(work)
        flight.task = task
        self._current[flight.key] = flight
        self._all.add(task)
        task.add_done_callback(lambda ended: self._end(flight, ended))

    def detach(self, invalidation: Invalidation) -> None:
        """Let nobody else join loads of what was invalidated: they began before the purge."""
        if invalidation.everything:
            self._current.clear()
            return
        for key in invalidation.keys:
            self._current.pop(key, None)
        if invalidation.tags:
            stale = set(invalidation.tags)
            for flight in list(self._current.values()):
                if not stale.isdisjoint(flight.tags):
                    del self._current[flight.key]

    async def close(self) -> None:
        """Cancel every load and wait until all have ended."""
        self._current.clear()
        while self._all:
            ending = list(self._all)
            for task in ending:
                task.cancel()
            await asyncio.wait(ending)

    def _end(self, flight: Flight, task: asyncio.Task[Entry]) -> None:
        self._all.discard(task)
        if self._current.get(flight.key) is flight:
            del self._current[flight.key]
        if not task.cancelled():
            task.exception()  # all who wanted it may have left: then nobody else retrieves it
