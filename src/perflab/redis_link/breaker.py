"""A circuit breaker: after failures in a row nobody asks the server until a probe succeeded."""

from __future__ import annotations


class Breaker:
    """Counts failures in a row; times are seconds of any one clock.

    A hiccup fails everything that is under way at once, and that counts as one failure: only an
    operation that began after the last failure was noticed can be the next one.

    Args:
        failures: how many in a row open it.
    """

    __slots__ = ("_failures", "_in_a_row", "_last_failure_at", "is_open", "opened")

    def __init__(self, failures: int = 3) -> None:
        self._failures = failures
        self._in_a_row = 0
        self._last_failure_at = float("-inf")
        self.is_open = False
        """Whether nobody should ask."""
        self.opened = 0
        """How often it opened."""

    def succeeded(self) -> None:
        """An operation was answered in time."""
        self._in_a_row = 0

    def failed(self, began_at: float, now: float) -> bool:
        """An operation failed; whether that opened the breaker."""
        if began_at < self._last_failure_at:
            return False
        self._last_failure_at = now
        self._in_a_row += 1
        return self._in_a_row >= self._failures and self.trip()

    def trip(self) -> bool:
        """Open it, whatever was counted; whether it was closed before."""
        if self.is_open:
            return False
        self.is_open = True
        self.opened += 1
        return True

    def mend(self) -> None:
        """A probe succeeded: close it."""
        self.is_open = False
        self._in_a_row = 0
