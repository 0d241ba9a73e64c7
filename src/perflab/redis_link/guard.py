"""A server that is asked in batches within a budget, and left alone while it fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from perflab.errors import PerflabError
from perflab.own_loop import OwnLoop
from perflab.redis_link.batch import Batcher, Outcome
from perflab.redis_link.circuit import Circuit
from perflab.redis_link.link import FAILURES, Link, reason

Q = TypeVar("Q")
R = TypeVar("R")

_IN_FLIGHT: Final = 8


class Guard:
    """What keeps callers from waiting for a server: budgets, a circuit, recovery by itself.

    Args:
        link: the connections; closed with this.
        home: the event loop that they belong to.
        reach: asks the server anything and raises one of FAILURES; it may have to connect.
        probe: asks through a batch, within the budget; None where no answer came.
        budget_s: how long a caller waits.
        timeout_s: for connecting, and until a batch that hangs is given up.
        failures: how many batches in a row open the breaker.
        probe_s: how often a server behind an open breaker is tried.
    """

    def __init__(
        self,
        link: Link,
        *,
        home: OwnLoop,
        reach: Callable[[], Awaitable[object]],
        probe: Callable[[], Awaitable[object]],
        budget_s: float,
        timeout_s: float,
        failures: int,
        probe_s: float,
    ) -> None:
        self.link = link
        self.timeout_s = timeout_s
        self.circuit = Circuit(self._is_well, failures=failures, probe_s=probe_s)
        self._home = home
        self._reach = reach
        self._probe = probe
        self._budget_s = budget_s
        self._batchers: list[Batcher[Any, Any]] = []

    def batcher(
        self,
        run: Callable[[list[Q]], Awaitable[Sequence[R]]],
        *,
        max_weight: int,
        unclaimed: Callable[[Q], None] | None = None,
    ) -> Batcher[Q, R]:
        """Batches whose outcomes the circuit counts; see ``Batcher``."""
        return self._kept(
            Batcher(
                run,
                home=self._home,
                failures=FAILURES,
                budget_s=self._budget_s,
                give_up_s=self.timeout_s,
                max_weight=max_weight,
                in_flight=_IN_FLIGHT,
                outcome=self.circuit.outcome,
                unclaimed=unclaimed,
            )
        )

    def unhurried(
        self,
        run: Callable[[list[Q]], Awaitable[Sequence[R]]],
        *,
        max_weight: int,
        timeout_s: float,
        outcome: Callable[[Outcome, float], None],
    ) -> Batcher[Q, R]:
        """Batches for what should rather be late than not done; no matter for the circuit."""
        return self._kept(
            Batcher(
                run,
                home=self._home,
                failures=FAILURES,
                budget_s=timeout_s,
                give_up_s=timeout_s,
                max_weight=max_weight,
                in_flight=_IN_FLIGHT,
                outcome=outcome,
            )
        )

    async def close(self) -> None:
        """Let everybody go and close the connections; the breaker stays open."""
        await self.circuit.close()
        for batcher in self._batchers:
            await batcher.close()
        with contextlib.suppress(*FAILURES):
            await self.link.close()

    def _kept(self, batcher: Batcher[Q, R]) -> Batcher[Q, R]:
        self._batchers.append(batcher)
        return batcher

    async def _is_well(self) -> bool:
        """Whether the server answers within the budget, once it is connected."""
        with contextlib.suppress(*FAILURES):
            async with asyncio.timeout(self.timeout_s):
                await self._reach()
            return await self._probe() is not None
        return False


@asynccontextmanager
async def insisting(
    link: Link, timeout_s: float, error: type[PerflabError], fails: str, advice: str = ""
) -> AsyncIterator[None]:
    """For what is asked rarely and must be done: a failure becomes an ``error`` of one line.

    It names the server, says how it ``fails`` and why, and what to do.
    """
    if link.closed:
        raise error(f"Redis at {link.where} {fails}: the connections were closed; open them anew")
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except FAILURES as failure:
        so = f"Redis at {link.where} {fails}: {reason(failure)}"
        raise error(f"{so}; {advice}" if advice else so) from None
