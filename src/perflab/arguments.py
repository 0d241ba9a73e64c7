"""Settings of the libraries, checked when they are given: one error names the first bad one."""

from __future__ import annotations

import functools
import inspect
import math
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


def check_number(
    name: str,
    value: object,
    error: type[Exception],
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
) -> None:
    """An ``error`` if ``value`` is no finite number within the bounds.

    Args:
        name: of the argument.
        value: as it was given; numbers of numpy are numbers, True and False are none.
        error: what is raised.
        above: it must be greater than this.
        least: instead of ``above``, it may also be equal to this.
        most: it must not be greater than this.
    """
    if is_finite(value):
        number: Any = value
        within = (above is None or number > above) and (least is None or number >= least)
        if within and (most is None or number <= most):
            return
    raise error(f"{name}={_shown(value)}: must be a finite number{_bounds(above, least, most)}")


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


def check_hook(
    name: str,
    value: object,
    error: type[Exception],
    why: str = "which nobody awaits; give a plain one",
) -> None:
    """An ``error`` if ``value`` cannot be called, or what it returns would have to be awaited.

    Args:
        name: of the argument.
        value: as it was given.
        error: what is raised.
        why: an async function is of no use there, and what to do instead.
    """
    check_function(name, value, error)
    if is_async(value):
        raise error(f"{name} is an async function, {why}")


def is_finite(value: object) -> bool:
    """Whether it is a finite number, of numpy or not; True and False are none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def is_async(function: object) -> bool:
    """Whether calling it gives something to await, or to read with ``async for``.

    So it is with coroutine functions, async generators, objects whose ``__call__`` is one of
    these, and a ``functools.partial`` of any of them. A plain function may return a coroutine
    all the same.
    """
    while isinstance(function, functools.partial):
        function = function.func
    # the class has it, or else its metaclass; calling a class makes an object, which is not awaited
    called = type(function).__call__
    return any(
        inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
        for one in (function, called)
    )


def _bounds(above: float | None, least: float | None, most: float | None) -> str:
    if above is not None:
        return f" above {above:g}" if most is None else f" above {above:g} and at most {most:g}"
    if least is not None:
        return f" from {least:g} on" if most is None else f" from {least:g} to {most:g}"
    return "" if most is None else f" of at most {most:g}"


def _shown(value: object) -> str:
    text = repr(float(value) if isinstance(value, float) else value)  # without numpy's own name
    return text if len(text) <= 60 else f"<{type(value).__name__}>"
