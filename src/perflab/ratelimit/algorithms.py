"""The four algorithms in Python, one meter for each key; the Lua files decide the same.

Times are whole microseconds of any one clock. A meter is set to a time with ``at`` and then asked
and charged; its answers hold for that time. Only a charge changes what a meter remembers, so that
one that is asked about a time and then about an earlier one forgets nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, Protocol

from perflab.ratelimit.policies import Algorithm, Policy


class Meter(Protocol):
    """What was used under one policy by one subject."""

    size: int
    """The most units that can be free."""

    def at(self, now: int) -> None:
        """Go to a time; one before the last charge means a clock set back."""
        ...

    def room(self) -> int:
        """Units that are free now."""
        ...

    def wait(self, cost: int) -> int:
        """Until ``cost`` units are free if nobody takes any; 0 or less if they are."""
        ...

    def take(self, cost: int) -> None:
        """Charge units that are free."""
        ...


class Gcra:
    """The generic cell rate algorithm (ITU-T I.371, annex A, virtual scheduling).

    With T = period / limit and TAT the theoretical arrival time of the next request:
    TAT' = max(now, TAT) + cost·T; allowed if now >= TAT' - burst·T; else the wait is
    TAT' - burst·T - now, and nothing is written.

    In any half-open window of one period it admits at most ``burst + limit - 1`` requests of cost
    1: N of them move TAT by N·T, from no earlier than the first to at most burst·T after the last.
    """

    __slots__ = ("_interval", "_kept", "_now", "_tat", "size")

    def __init__(self, policy: Policy) -> None:
        self.size = policy.capacity
        self._interval = policy.interval_us
        self._now = self._tat = self._kept = 0

    def at(self, now: int) -> None:
        """Go to a time. Where the clock was set back, the key is full and no more than that."""
        self._now = now
        self._tat = min(max(now, self._kept), now + self.size * self._interval)

    def room(self) -> int:
        """Units that are free now."""
        return (self._now + self.size * self._interval - self._tat) // self._interval

    def wait(self, cost: int) -> int:
        """Until ``cost`` units are free."""
        return self._tat + (cost - self.size) * self._interval - self._now

    def take(self, cost: int) -> None:
        """Charge units."""
        self._tat += cost * self._interval
        self._kept = self._tat


class SlidingLog:
    """The exact log: the time of every unit admitted within the last period.

    In any half-open window of one period it admits at most ``limit``: the last unit of the window
    was admitted while all earlier ones of the window were in the log. Where the clock was set
    back, the times of a key stand still until it has caught up.
    """

    __slots__ = ("_at", "_dead", "_now", "_period", "_times", "size")

    def __init__(self, policy: Policy) -> None:
        self.size = policy.limit
        self._period = policy.period_us
        self._now = self._at = self._dead = 0
        self._times: list[int] = []

    def at(self, now: int) -> None:
        """Go to a time. What is a period old no longer counts."""
        times = self._times
        self._now = now
        self._at = max(now, times[-1]) if times else now
        self._dead = bisect_right(times, self._at - self._period)

    def room(self) -> int:
        """Units that are free now."""
        return self.size - (len(self._times) - self._dead)

    def wait(self, cost: int) -> int:
        """Until ``cost`` units are free."""
        if cost <= self.room():
            return 0
        return self._times[cost - self.size - 1] + self._period - self._now

    def take(self, cost: int) -> None:
        """Charge units."""
        del self._times[: self._dead]
        self._dead = 0
        self._times.extend([self._at] * cost)


class SlidingCounter:
    """Two counters, the older one fading: used = ⌊previous·(1 - f)⌋ + current.

    f is the share of the current window that has passed; windows are aligned to time 0 (Cloudflare,
    "How we built rate limiting capable of scaling to millions of domains", 2017). Each aligned
    window admits at most ``limit`` and any window touches two of them, hence at most twice the
    limit, which is reached: a full window at its very end, and the next as the weight fades.
    """

    __slots__ = ("_current", "_elapsed", "_index", "_kept", "_now", "_period", "_previous", "size")

    def __init__(self, policy: Policy) -> None:
        self.size = policy.limit
        self._period = policy.period_us
        self._now = self._index = self._elapsed = 0
        self._current = self._previous = 0
        self._kept = (0, 0, 0)

    def at(self, now: int) -> None:
        """Go to a time. Where the clock was set back, the window is held at its start."""
        index = now // self._period
        of, current, previous = self._kept
        if of >= index:
            index = of
        elif of == index - 1:
            current, previous = 0, current
        else:
            current = previous = 0
        self._now, self._index, self._current, self._previous = now, index, current, previous
        self._elapsed = max(0, now - index * self._period)

    def room(self) -> int:
        """Units that are free now."""
        # below 0 where the clock was set back: what had faded weighs again
        return max(0, self.size - self._weight() - self._current)

    def wait(self, cost: int) -> int:
        """Until ``cost`` units are free."""
        room = self.size - cost - self._current
        start = self._index * self._period
        if room < 0:
            faded = self._faded(self._current, self.size - cost)
            return start + self._period + faded - self._now
        if self._weight() <= room:
            return 0
        return start + self._faded(self._previous, room) - self._now

    def take(self, cost: int) -> None:
        """Charge units."""
        self._current += cost
        self._kept = (self._index, self._current, self._previous)

    def _weight(self) -> int:
        return self._previous * (self._period - self._elapsed) // self._period

    def _faded(self, units: int, room: int) -> int:
        """How far into a window at most ``room`` units of the one before still count."""
        if units <= room:
            return 0
        return self._period + (-(room + 1) * self._period) // units + 1


class FixedWindow:
    """One counter a window; windows are aligned to time 0.

    It admits twice the limit at once around a boundary: ``limit`` before and ``limit`` after.
    """

    __slots__ = ("_index", "_kept", "_now", "_period", "_used", "size")

    def __init__(self, policy: Policy) -> None:
        self.size = policy.limit
        self._period = policy.period_us
        self._now = self._index = self._used = 0
        self._kept = (0, 0)

    def at(self, now: int) -> None:
        """Go to a time. Where the clock was set back, the window goes on."""
        index = now // self._period
        of, used = self._kept
        self._index, self._used = (of, used) if of >= index else (index, 0)
        self._now = now

    def room(self) -> int:
        """Units that are free now."""
        return self.size - self._used

    def wait(self, cost: int) -> int:
        """Until ``cost`` units are free."""
        if self._used + cost <= self.size:
            return 0
        return (self._index + 1) * self._period - self._now

    def take(self, cost: int) -> None:
        """Charge units."""
        self._used += cost
        self._kept = (self._index, self._used)


METERS: Final[dict[Algorithm, type[Gcra | SlidingLog | SlidingCounter | FixedWindow]]] = {
    "gcra": Gcra,
    "sliding_log": SlidingLog,
    "sliding_counter": SlidingCounter,
    "fixed_window": FixedWindow,
}
