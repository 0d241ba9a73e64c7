"""A breaker with its recovery: who fails is left alone and probed until it answers again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from perflab.redis_link.batch import Outcome
from perflab.redis_link.breaker import Breaker


class Circuit(Breaker):
    """Counts how batches ended; ``probe`` runs every ``probe_s`` while the breaker is open.

    Args:
        probe: whether the server is well again; raises nothing.
        failures: how many batches in a row open the breaker.
        probe_s: the pause before each probe.
    """

    def __init__(
        self, probe: Callable[[], Awaitable[bool]], *, failures: int, probe_s: float
    ) -> None:
        super().__init__(failures)
        self._probe = probe
        self._probe_s = probe_s
        self._recovery: asyncio.Task[None] | None = None
        self.slow = 0
        """Batches not answered within the budget."""
        self.errors = 0
        """Batches that failed outright."""

    def outcome(self, outcome: Outcome, began_at: float) -> None:
        """How a batch ended that began at that time of the event loop's clock."""
        if outcome == "answered":
            self.succeeded()
            return
        if outcome == "slow":
            self.slow += 1
        else:
            self.errors += 1
        loop = asyncio.get_running_loop()
        if self.failed(began_at, loop.time()):
            self._recovery = loop.create_task(self._recover())

    async def close(self) -> None:
        """End probing; the breaker stays open."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait([self._recovery])
        self.is_open = True

    async def _recover(self) -> None:
        while True:
            await asyncio.sleep(self._probe_s)
            if await self._probe():
                self.mend()
                return
