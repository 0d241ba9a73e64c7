"""The lag of an event loop: how late it calls what was due, as everybody in it feels."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from perflab.arguments import check_seconds
from perflab.closing import Closing
from perflab.histogram import Buckets, Histogram
from perflab.monitor.errors import MonitorError

EVERY_S: Final = 0.05
_MOST_MISSED: Final = 2_000
"""Ticks counted of one stall: of a laptop that slept, the first minutes are enough."""


class LagStats(msgspec.Struct, frozen=True):
    """A snapshot of a loop's lag since it is watched."""

    lag_s: Buckets
    """How late the event loop was for a callback, at even distances in time."""
    last_s: float
    """How late it was for the last one."""


class LoopLag(Closing):
    """Watches the event loop in which it is opened, with one timer.

    >>> async with LoopLag() as lag:
    ...     registry.register("loop", lag.stats)

    Every ``every_s`` a callback is due, and how late it comes is counted. A stall that swallows
    several of them counts once for each, as late as each would have been: otherwise a second of
    standstill would weigh as little as one late callback, and percentiles would not show it
    (coordinated omission). The timer's own resolution, 1 ms on uvloop, is part of the lag.
    """

    def __init__(self, *, every_s: float = EVERY_S) -> None:
        check_seconds("every_s", every_s, MonitorError)
        self._every_s = every_s
        self._lag = Histogram()
        self._last_s = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> LoopLag:
        self._loop = asyncio.get_running_loop()
        self._wait(self._loop.time())
        return self

    async def close(self) -> None:
        """Watch no longer; the figures stay."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stats(self) -> LagStats:
        """The lag so far."""
        return LagStats(self._lag.snapshot(), self._last_s)

    def _wait(self, now: float) -> None:
        self._due = now + self._every_s
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        self._last_s = late = max(now - self._due, 0.0)
        self._lag.observe(late)
        for _ in range(_MOST_MISSED):
            late -= self._every_s
            if late <= 0:
                break
            self._lag.observe(late)
        self._wait(now)
