"""Purges that are done once more later, for responses that were under way the first time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from perflab.cache.edge.wanted import Wanted

SLOT_S: Final = 0.25
"""Purges within this time of each other are repeated together."""


class _Batch:
    """What is due at one moment, and until when more may join it."""

    __slots__ = ("due", "open_until", "wanted")

    def __init__(self, now: float, delay_s: float) -> None:
        self.open_until = now + SLOT_S
        self.due = self.open_until + delay_s
        self.wanted = Wanted()


class _Line:
    """The batches that wait for one of the delays; the first is due first."""

    __slots__ = ("batches", "delay_s", "task")

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.batches: deque[_Batch] = deque()
        self.task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether somebody sees to the batches."""
        return self.task is not None and not self.task.done()


class Repeats:
    """Calls back with what was purged, after each of some delays.

    What waits is bounded: by one batch a slot and delay, and by ``most_names`` in a batch. A
    batch with more becomes "everything", so that no repetition is forgotten.

    Args:
        again: does it; an exception of its is counted and the purge not tried again.
        delays_s: after the first time.
        most_names: in one batch.
        clock: seconds; the event loop's by default.
        sleep: waits for seconds of that clock.
    """

    def __init__(
        self,
        again: Callable[[Wanted], Awaitable[object]],
        delays_s: Sequence[float],
        most_names: int = 10_000,
        *,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._again = again
        self._most_names = most_names
        self._clock = clock or _loop_time
        self._sleep = sleep
        self._lines = tuple(map(_Line, delays_s))
        self._closed = False
        self.done = 0
        """Batches that were repeated."""
        self.failed = 0
        """Batches whose repetition raised."""
        self.dropped = 0
        """Batches that ``close`` cancelled."""

    def __len__(self) -> int:
        """Batches that wait."""
        return sum(len(line.batches) for line in self._lines)

    def add(self, wanted: Wanted) -> None:
        """Have this done again after each delay, at the most SLOT_S later than that."""
        if self._closed or not wanted:
            return
        now = self._clock()
        for line in self._lines:
            if not line.batches or line.batches[-1].open_until < now:
                line.batches.append(_Batch(now, line.delay_s))
            last = line.batches[-1]
            joined = last.wanted | wanted
            last.wanted = Wanted(everything=True) if len(joined) > self._most_names else joined
            if not line.is_running:
                line.task = asyncio.get_running_loop().create_task(self._run(line))

    async def settled(self) -> None:
        """Return when nothing waits any more."""
        while running := [line.task for line in self._lines if line.task and line.is_running]:
            await asyncio.wait(running)

    async def close(self) -> None:
        """Forget what waits; harmless when called twice."""
        self._closed = True
        self.dropped += len(self)
        for line in self._lines:
            line.batches.clear()
            if line.task is not None:
                line.task.cancel()
        await self.settled()

    async def _run(self, line: _Line) -> None:
        while line.batches:
            delay_s = line.batches[0].due - self._clock()
            if delay_s > 0:
                await self._sleep(delay_s)
                continue
            batch = line.batches.popleft()
            try:
                await self._again(batch.wanted)
            except Exception:  # noqa: BLE001 - whatever it is, the next batch must not suffer
                self.failed += 1
            else:
                self.done += 1


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
