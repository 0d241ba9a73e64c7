"""A histogram of durations: cheap to add to, and a snapshot that can be told to others."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

import msgspec

LATENCY_S: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Bounds in seconds that suit what people wait for."""


class Buckets(msgspec.Struct, frozen=True):
    """A snapshot of a histogram since it was made."""

    bounds: tuple[float, ...]
    """Upper bounds, ascending; a value that equals one belongs below it."""
    counts: tuple[int, ...]
    """One for each bound, not added up, and one for what lies above them all."""
    sum: float
    """Of all values."""


class Histogram:
    """Counts values by the bounds that they lie between.

    Args:
        bounds: ascending, in the unit of the values.
    """

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...] = LATENCY_S) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def snapshot(self) -> Buckets:
        """What was counted so far."""
        return Buckets(self._bounds, tuple(self._counts), self._sum)
