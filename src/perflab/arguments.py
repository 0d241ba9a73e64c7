"""Settings of the libraries, checked when they are given: one error names the first bad one."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any, Final, SupportsIndex

LONGEST_S: Final = 1e9
"""Some thirty years: what is longer is a mistake, and no timer can be set to it."""


def check_seconds(
    name: str, value: object, error: type[Exception], *, zero: bool = False, endless: bool = False
) -> None:
    """An ``error`` if ``value`` is no duration.

    Args:
        name: of the setting.
        value: as it was given.
        error: what is raised.
        zero: whether it may be 0.
        endless: whether it may be infinite.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        number: Any = value
        above = number >= 0 if zero else number > 0
        if above and (number <= LONGEST_S or (endless and number == float("inf"))):
            return
    least = "at least 0" if zero else "above 0"
    raise error(f"{name}={_shown(value)}: must be {least} and at most 1e9 s")


def check_whole(
    name: str, value: object, error: type[Exception], *, least: int = 1, most: int | None = None
) -> None:
    """An ``error`` if ``value`` is no whole number between ``least`` and ``most``."""
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        number = operator.index(value)
        if number >= least and (most is None or number <= most):
            return
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise error(f"{name}={_shown(value)}: must be a whole number {bounds}")


def check_flag(name: str, value: object, error: type[Exception]) -> None:
    """An ``error`` if ``value`` is neither True nor False."""
    if not isinstance(value, bool):
        raise error(f"{name}={_shown(value)}: must be True or False")


def check_kind(name: str, value: object, kind: type, error: type[Exception]) -> None:
    """An ``error`` if ``value`` is not of the class ``kind``."""
    if not isinstance(value, kind):
        raise error(f"{name}={_shown(value)}: must be a {kind.__name__}")


def check_function(name: str, value: object, error: type[Exception]) -> None:
    """An ``error`` if ``value`` cannot be called."""
    if not callable(value):
        raise error(f"{name}={_shown(value)}: must be a function")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"<{type(value).__name__}>"
