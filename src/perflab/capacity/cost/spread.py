"""A figure that is not known exactly: low, expected, high."""

from __future__ import annotations

import math

import msgspec

from perflab.measure.statistics import Interval


class Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Three figures from 0 on, in ascending order."""

    low: float
    expected: float
    high: float

    def __post_init__(self) -> None:
        """Raise a ValueError, which msgspec hands on with the key, for anything else."""
        figures = (self.low, self.expected, self.high)
        if not all(math.isfinite(figure) and figure >= 0 for figure in figures):
            raise ValueError("low, expected and high must be finite numbers from 0 on")
        if not self.low <= self.expected <= self.high:
            raise ValueError("low must not exceed expected, nor expected high")

    def __add__(self, other: Spread) -> Spread:
        """Low with low, high with high: both turn out badly together."""
        return Spread(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, other: Spread) -> Spread:
        """The same for a product."""
        return Spread(self.low * other.low, self.expected * other.expected, self.high * other.high)

    def scaled(self, factor: float) -> Spread:
        """Every figure times a factor from 0 on."""
        return Spread(self.low * factor, self.expected * factor, self.high * factor)


def spread_of(value: float | Interval) -> Spread:
    """A figure that is known, or one with its interval, whose ends are not below 0."""
    if isinstance(value, Interval):
        return Spread(max(0.0, value.lo), max(0.0, value.estimate), max(0.0, value.hi))
    return Spread(value, value, value)
