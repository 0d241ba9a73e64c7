"""When to try again: exponential, with full jitter, and reset only by a connection that lasts."""

from __future__ import annotations

from typing import Final

import numpy as np

from perflab.arguments import check_seconds, check_whole
from perflab.realtime.errors import RealtimeError

DEFAULT_BASE_S: Final = 0.1
DEFAULT_CAP_S: Final = 2.0
DEFAULT_ATTEMPTS: Final = 5
DEFAULT_STABLE_S: Final = 5.0


class Backoff:
    """Delays U(0, min(cap, base * 2**n)): "full jitter" (AWS Architecture Blog, "Exponential
    Backoff And Jitter", 2015), the variant in which a herd spreads best.

    The count of attempts starts anew only after a connection has lasted: resetting it when one is
    made would let a server that accepts and closes at once be tried without end.

    Args:
        rng: seeded.
        base_s: the longest first delay.
        cap_s: the longest of all.
        attempts: before ``next_delay`` gives up.
        stable_s: how long a connection must have lasted.
        jitter: off, every delay is the longest that it may be.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        base_s: float = DEFAULT_BASE_S,
        cap_s: float = DEFAULT_CAP_S,
        attempts: int = DEFAULT_ATTEMPTS,
        stable_s: float = DEFAULT_STABLE_S,
        jitter: bool = True,
    ) -> None:
        check_seconds("cap_s", cap_s, RealtimeError)
        check_seconds("base_s", base_s, RealtimeError)
        check_seconds("stable_s", stable_s, RealtimeError, zero=True)
        check_whole("attempts", attempts, RealtimeError)
        if base_s > cap_s:
            raise RealtimeError(f"backoff base {base_s} s: must be above 0 and at most {cap_s} s")
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self._attempts = attempts
        self._stable_s = stable_s
        self._jitter = jitter
        self._connected_at: float | None = None
        self.used = 0
        """Attempts since the last connection that lasted."""

    def next_delay(self) -> float | None:
        """Seconds to wait before the next attempt; None if there is none left."""
        if self.used >= self._attempts:
            return None
        longest = min(self._cap_s, self._base_s * 2**self.used)
        self.used += 1
        return float(self._rng.uniform(0, longest)) if self._jitter else longest

    def connected(self, now: float) -> None:
        """A connection was made."""
        self._connected_at = now

    def lost(self, now: float) -> None:
        """It was lost."""
        if self._connected_at is not None and now - self._connected_at >= self._stable_s:
            self.used = 0
        self._connected_at = None
