"""A token bucket for calls that somebody else limits: it waits instead of being refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


class TokenBucket:
    """Starts full; callers are served in the order in which they came.

    Args:
        per_s: tokens that are added each second.
        capacity: the most that it holds, and that one call can take.
        clock: seconds.
        sleep: waits for seconds of that clock.
    """

    def __init__(
        self,
        per_s: float,
        capacity: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._per_s = per_s
        self._capacity = capacity
        self._clock = clock
        self._sleep = sleep
        self._tokens = capacity
        self._at = clock()
        self._turn = asyncio.Lock()

    async def take(self, tokens: float = 1) -> None:
        """Return when so many tokens were there, and take them."""
        if tokens > self._capacity:
            raise ValueError(f"{tokens} tokens are more than the bucket holds")
        async with self._turn:
            short = tokens - self._filled()
            if short > 0:
                await self._sleep(short / self._per_s)
            # a sleep that ends a little early leaves a debt, which the next caller waits for
            self._tokens = self._filled() - tokens

    def empty(self) -> None:
        """Others have taken what was in it."""
        self._filled()
        self._tokens = min(self._tokens, 0.0)

    def _filled(self) -> float:
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        return self._tokens
