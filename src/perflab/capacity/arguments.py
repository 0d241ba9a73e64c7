"""Arguments checked: one error that names the first that cannot be used."""

from __future__ import annotations

import math

from perflab.capacity.errors import CapacityError


def positive(name: str, value: float) -> float:
    """A finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise CapacityError(f"{name}={value:g}: must be a finite number above 0")
    return value


def not_negative(name: str, value: float) -> float:
    """A finite number from 0 on."""
    if not (math.isfinite(value) and value >= 0):
        raise CapacityError(f"{name}={value:g}: must be a finite number from 0 on")
    return value


def whole(name: str, value: int, least: int = 1) -> int:
    """A whole number from ``least`` on."""
    if value < least:
        raise CapacityError(f"{name}={value}: must be a whole number from {least} on")
    return value
