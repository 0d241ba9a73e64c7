"""Arguments checked: one error that names the first that cannot be used."""

from __future__ import annotations

from perflab.arguments import check_number, check_whole
from perflab.capacity.errors import CapacityError


def positive(name: str, value: float) -> float:
    """A finite number above 0."""
    check_number(name, value, CapacityError, above=0)
    return value


def not_negative(name: str, value: float) -> float:
    """A finite number from 0 on."""
    check_number(name, value, CapacityError, least=0)
    return value


def whole(name: str, value: int, least: int = 1) -> int:
    """A whole number from ``least`` on."""
    check_whole(name, value, CapacityError, least=least)
    return value
