"""Takes requests up when they are due: sleeps while that is far off, spins when it is near."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence
from typing import Final

from perflab.load.pool import Pool

SPIN_S: Final = 0.003
"""Below this distance the loop spins: its timers count whole milliseconds, and waking up from a
sleep takes a virtual machine some time."""
MARGIN_S: Final = 0.002
TICK_S: Final = 0.0005
"""Where the core is not the generator's own, it spins only for what its timers cannot tell apart:
they round to whole milliseconds."""
_BURST: Final = 32
"""After so many overdue requests the loop looks for answers, so that it does not fall behind on
these as well."""


class Pace:
    """The clock work of a load; it keeps count of its own busy time.

    A turn of the loop in which requests were taken up or outcomes came in counts as busy, a turn
    without is spinning. While the loop sleeps, ``busy_clock`` counts. Without ``spin`` it sleeps
    until less than a tick is left: for where others need the core too.
    """

    def __init__(self, pool: Pool, busy_clock: Callable[[], float], *, spin: bool = True) -> None:
        self.busy_s = 0.0
        self._spin_s = SPIN_S if spin else TICK_S
        self._margin_s = MARGIN_S if spin else 0.0
        self._busy_clock = busy_clock
        self._pool = pool
        self._seen = pool.events
        self._alarm: asyncio.Future[None] | None = None
        self._burst = 0

    def take(self, scheduled: float, now: float) -> None:
        """Take a request up."""
        self._pool.take(scheduled, now)
        self._burst += 1
        self.busy_s += time.perf_counter() - now

    async def wait(self, due: float) -> float:
        """Let the loop work, until ``due`` or a little less; the time afterwards."""
        began = time.perf_counter()
        if due - began > self._spin_s:
            busy = self._busy_clock()
            await self._sleep(due - began - self._margin_s)
            self.busy_s += self._busy_clock() - busy
            self._seen = self._pool.events
            return time.perf_counter()
        await asyncio.sleep(0)
        now = time.perf_counter()
        if self._pool.events != self._seen:
            self._seen = self._pool.events
            self.busy_s += now - began
        return now

    async def breathe(self) -> None:
        """After a burst of requests, let the loop read what has arrived."""
        if self._burst >= _BURST:
            self._burst = 0
            await self.wait(0.0)

    async def _sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._alarm = loop.create_future()
        timer = loop.call_later(seconds, self.wake)
        try:
            await self._alarm
        finally:
            timer.cancel()
            self._alarm = None

    def wake(self) -> None:
        """End a sleep early."""
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)


async def pace_open(pool: Pool, due: Sequence[float], busy_clock: Callable[[], float]) -> float:
    """Take up one request for each time in ``due`` (ascending); the busy seconds."""
    pace = Pace(pool, busy_clock)
    clock = time.perf_counter
    for scheduled in due:
        now = clock()
        while now < scheduled:
            now = await pace.wait(scheduled)
        pace.take(scheduled, now)
        await pace.breathe()
    return pace.busy_s


async def pace_closed(
    pool: Pool,
    users: int,
    think_s: Sequence[float],
    begin: float,
    end: float,
    busy_clock: Callable[[], float],
) -> float:
    """``users`` who send, wait for the outcome, think, and send again until ``end``.

    ``think_s`` are pauses, taken in turn and from the front again; the first sends are spread
    over the first pauses. The busy seconds.
    """
    if not any(think_s):
        return await _pace_busy(pool, users, end, busy_clock)
    pace = Pace(pool, busy_clock)
    due = [begin + think_s[user % len(think_s)] * user / users for user in range(users)]
    heapq.heapify(due)
    pauses = 0

    def think(_row: int, ended: float) -> None:
        nonlocal pauses
        heapq.heappush(due, ended + think_s[pauses % len(think_s)])
        pauses += 1
        pace.wake()

    pool.on_outcome = think
    now = time.perf_counter()
    while now < end:
        if due and due[0] <= now:
            pace.take(heapq.heappop(due), now)
            await pace.breathe()
            now = time.perf_counter()
        else:
            now = await pace.wait(min(due[0], end) if due else end)
    pool.on_outcome = None
    return pace.busy_s


async def _pace_busy(pool: Pool, users: int, end: float, busy_clock: Callable[[], float]) -> float:
    """Without pauses there is nothing to wait for: each outcome sends the next request."""
    clock = time.perf_counter

    def again(_row: int, ended: float) -> None:
        now = clock()
        if now < end:
            pool.take(ended, now)

    busy = busy_clock()
    pool.on_outcome = again
    for _ in range(users):
        now = clock()
        pool.take(now, now)
    await asyncio.sleep(max(end - clock(), 0.0))
    pool.on_outcome = None
    return busy_clock() - busy
