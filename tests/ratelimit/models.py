"""What each algorithm means, written down without regard to cost: no state but what happened.

A model keeps every admitted unit and says how many units are free at a time. Waiting times are
found by search, since without new units what is free only grows.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

from perflab.ratelimit import Policy
from perflab.ratelimit.policies import Algorithm


class Model(Protocol):
    """One key."""

    size: int

    def room(self, now: int) -> int:
        """Units free at a time."""
        ...

    def take(self, now: int, cost: int) -> None:
        """Admit units."""
        ...


class LeakyBucket:
    """GCRA as a meter: the level drains one unit every T and may not exceed the burst."""

    def __init__(self, policy: Policy) -> None:
        self.size = policy.capacity
        self._interval = -(-round(policy.period_s * 1_000_000) // policy.limit)
        self._level = Fraction(0)
        self._since = 0

    def _level_at(self, now: int) -> Fraction:
        return max(Fraction(0), self._level - Fraction(now - self._since, self._interval))

    def room(self, now: int) -> int:
        return int(self.size - self._level_at(now))

    def take(self, now: int, cost: int) -> None:
        self._level = self._level_at(now) + cost
        self._since = now


class _History:
    def __init__(self, policy: Policy) -> None:
        self.size = policy.limit
        self.period = round(policy.period_s * 1_000_000)
        self.units: list[tuple[int, int]] = []

    def take(self, now: int, cost: int) -> None:
        self.units.append((now, cost))


class LastPeriod(_History):
    """Sliding log: what was admitted after now - period."""

    def room(self, now: int) -> int:
        return self.size - sum(cost for at, cost in self.units if now - self.period < at)


class FadingWindow(_History):
    """Sliding counter: floor(previous * (1 - f)) + current."""

    def room(self, now: int) -> int:
        index, f = now // self.period, Fraction(now % self.period, self.period)
        current = sum(cost for at, cost in self.units if at // self.period == index)
        previous = sum(cost for at, cost in self.units if at // self.period == index - 1)
        return self.size - (previous * (1 - f)).__floor__() - current


class AlignedWindow(_History):
    """Fixed window: what was admitted since the last multiple of the period."""

    def room(self, now: int) -> int:
        index = now // self.period
        return self.size - sum(cost for at, cost in self.units if at // self.period == index)


MODELS: dict[Algorithm, Callable[[Policy], Model]] = {
    "gcra": LeakyBucket,
    "sliding_log": LastPeriod,
    "sliding_counter": FadingWindow,
    "fixed_window": AlignedWindow,
}


def wait(model: Model, now: int, cost: int, longest: int) -> int:
    """Microseconds until ``cost`` units are free."""
    low, high = 0, longest
    assert model.room(now + high) >= cost
    while low < high:
        middle = (low + high) // 2
        if model.room(now + middle) >= cost:
            high = middle
        else:
            low = middle + 1
    return low
