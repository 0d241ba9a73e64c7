"""Calls of one tick of the event loop, run together within a time budget."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Literal, TypeVar

from perflab.own_loop import OwnLoop

Q = TypeVar("Q")
R = TypeVar("R")
Outcome = Literal["answered", "slow", "failed"]
"""In time; not in time; an error, or no connection."""


class _Batch(Generic[Q, R]):
    __slots__ = ("began_at", "expired", "items", "make_future", "timer", "waiting", "weight")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.began_at = loop.time()
        self.make_future: Callable[[], asyncio.Future[R | None]] = loop.create_future
        self.items: list[Q] = []
        self.waiting: list[asyncio.Future[R | None]] = []
        self.weight = 0
        self.expired = False
        self.timer: asyncio.TimerHandle | None = None


class Batcher(Generic[Q, R]):
    """Collects what is asked within one tick and runs it as one batch.

    While ``in_flight`` batches are out, what is asked waits and gathers in the next one, so a
    slow server gets fewer and larger batches instead of more connections.

    Whoever asks is let go after ``budget_s`` with None, be the batch out or still waiting. A
    batch that is out is not torn down then: its connection would be lost with it, and a late
    answer costs nobody anything. It is given up after ``give_up_s``.

    Args:
        run: takes the items of a batch and returns a result for each.
        home: the event loop that all of it belongs to; looked at once a batch.
        failures: what ``run`` raises when the server fails; everybody waiting then gets None.
        budget_s: how long an answer may take. Where the event loop itself was too busy to look,
            which shows in the timer being late, an answer gets as much time once more.
        give_up_s: how long a batch may be out.
        max_weight: of one batch; what is more goes into the next.
        in_flight: how many batches may be out.
        outcome: is told how each batch ended, and when it began.
        unclaimed: is given each item that was carried out although nobody waited any more.
    """

    def __init__(
        self,
        run: Callable[[list[Q]], Awaitable[Sequence[R]]],
        *,
        home: OwnLoop,
        failures: tuple[type[BaseException], ...],
        budget_s: float,
        give_up_s: float,
        max_weight: int,
        in_flight: int,
        outcome: Callable[[Outcome, float], None],
        unclaimed: Callable[[Q], None] | None = None,
    ) -> None:
        self._run = run
        self._home = home
        self._failures = failures
        self._budget_s = budget_s
        self._give_up_s = give_up_s
        self._max_weight = max_weight
        self._in_flight = in_flight
        self._outcome = outcome
        self._unclaimed = unclaimed
        self._queue: deque[_Batch[Q, R]] = deque()
        self._filling: _Batch[Q, R] | None = None
        """The last of the queue, as long as more may go into it."""
        self._out: dict[asyncio.Task[None], _Batch[Q, R]] = {}
        self._scheduled = False
        self.batches = 0
        """How many were sent."""

    def ask(self, item: Q, weight: int = 1) -> asyncio.Future[R | None]:
        """A future of the item's result; None if there was none in time. It raises nothing.

        The first of a batch is refused in another loop than ``home``.
        """
        batch = self._filling
        if batch is None or batch.weight + weight > self._max_weight:
            batch = self._begin()
        future = batch.make_future()
        batch.items.append(item)
        batch.waiting.append(future)
        batch.weight += weight
        return future

    async def close(self) -> None:
        """Let everybody go and end what is out."""
        self._filling = None
        while self._queue:
            self._let_go(self._queue.popleft())
        out = dict(self._out)
        for task in out:
            task.cancel()
        await asyncio.gather(*out, return_exceptions=True)
        for batch in out.values():
            self._let_go(batch)  # one whose task had not begun

    def _begin(self) -> _Batch[Q, R]:
        self._home.check()
        loop = asyncio.get_running_loop()
        batch = self._filling = _Batch[Q, R](loop)
        batch.timer = loop.call_at(batch.began_at + self._budget_s, self._expire, batch)
        self._queue.append(batch)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._send)
        return batch

    def _send(self) -> None:
        self._scheduled = False
        while self._queue and len(self._out) < self._in_flight:
            batch = self._queue.popleft()
            self._end(batch)
            if batch.expired or all(future.done() for future in batch.waiting):
                self._let_go(batch)  # nobody waits for it any more
                continue
            self.batches += 1
            task = asyncio.get_running_loop().create_task(self._carry_out(batch))
            self._out[task] = batch
            task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._out.pop(task, None)
        if self._queue and not self._scheduled:
            self._send()

    async def _carry_out(self, batch: _Batch[Q, R]) -> None:
        try:
            async with asyncio.timeout(self._give_up_s):
                results = await self._run(batch.items)
        except self._failures:
            if not batch.expired:
                self._outcome("failed", batch.began_at)
        except Exception as error:  # noqa: BLE001 - a defect, shown to whoever asked
            for future in batch.waiting:
                if not future.done():
                    future.set_exception(error)
        else:
            if not batch.expired:
                self._outcome("answered", batch.began_at)
            for item, future, result in zip(batch.items, batch.waiting, results, strict=True):
                if not future.done():
                    future.set_result(result)
                elif self._unclaimed is not None:
                    self._unclaimed(item)
        finally:
            self._let_go(batch)

    def _expire(self, batch: _Batch[Q, R], *, again: bool = False) -> None:
        loop = asyncio.get_running_loop()
        late_s = loop.time() - batch.began_at - self._budget_s
        if late_s > self._budget_s / 4 and not again:
            batch.timer = loop.call_later(self._budget_s, lambda: self._expire(batch, again=True))
            return
        batch.expired = True
        self._end(batch)
        self._outcome("slow", batch.began_at)
        self._let_go(batch)

    def _end(self, batch: _Batch[Q, R]) -> None:
        """Nothing more goes into it."""
        if self._filling is batch:
            self._filling = None

    @staticmethod
    def _let_go(batch: _Batch[Q, R]) -> None:
        if batch.timer is not None:
            batch.timer.cancel()
            batch.timer = None
        for future in batch.waiting:
            if not future.done():
                future.set_result(None)
