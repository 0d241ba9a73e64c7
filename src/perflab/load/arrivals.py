"""When requests are due: constant and Poisson arrivals of an open load."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from perflab.load.errors import LoadError

Seconds = NDArray[np.float64]


def constant(
    rate_per_s: float, *, count: int | None = None, seconds: float | None = None
) -> Seconds:
    """Arrivals at equal distances, the first at 0: seconds from the start, shape ``(n,)``.

    Args:
        rate_per_s: arrivals a second.
        count: how many; or
        seconds: all that are due before this time.

    A LoadError names an argument that is missing, one too many, or out of range.
    """
    rate_per_s = positive("rate_per_s", rate_per_s)
    count, seconds = _count_or_seconds(count, seconds)
    if count is None:
        # 1e-9 forgives the rounding of the product: 0.1/s for 30 s are 3 arrivals, not 4
        count = max(math.ceil(rate_per_s * seconds - 1e-9), 1)
    return np.arange(count, dtype=np.float64) / rate_per_s


def poisson(
    rate_per_s: float, *, seed: int, count: int | None = None, seconds: float | None = None
) -> Seconds:
    """Arrivals of independent users: seconds from the start, ascending, shape ``(n,)``.

    The gaps are −ln(1−U)/λ with U uniform on [0, 1) (inverse of the exponential distribution), so
    the first arrival comes one gap after 0 and the number in any window is Poisson distributed.
    The same seed gives the same arrivals, and a longer schedule begins with the shorter one.

    Args:
        rate_per_s: λ, arrivals a second on average.
        seed: of ``numpy.random.default_rng``, not negative.
        count: how many; or
        seconds: all that are due before this time. There may be none.

    A LoadError names an argument that is missing, one too many, or out of range.
    """
    rate_per_s = positive("rate_per_s", rate_per_s)
    count, seconds = _count_or_seconds(count, seconds)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise LoadError(f"seed: must be a whole number from 0 on, not {seed!r}")
    if count is not None:
        return _poisson(rate_per_s, seed, count)
    mean = rate_per_s * seconds
    drawn = math.ceil(mean + 6 * math.sqrt(mean)) + 10
    while True:
        due_s = _poisson(rate_per_s, seed, drawn)
        if due_s[-1] >= seconds:
            return due_s[: np.searchsorted(due_s, seconds, side="left")]
        drawn *= 2


def _poisson(rate_per_s: float, seed: int, count: int) -> Seconds:
    uniform = np.random.default_rng(seed).random(count)
    return np.cumsum(-np.log1p(-uniform)) / rate_per_s


def positive(name: str, value: float) -> float:
    """The value if it is a finite number above 0; else a LoadError with the argument's name."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise LoadError(f"{name}: must be a number, not {value!r}")
    if not math.isfinite(value) or value <= 0:
        raise LoadError(f"{name}: must be finite and above 0, not {value!r}")
    return float(value)


def whole(name: str, value: int, least: int) -> int:
    """The value if it is a whole number of at least ``least``; else a LoadError naming it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise LoadError(f"{name}: must be a whole number of at least {least}, not {value!r}")
    return int(value)


def _count_or_seconds(
    count: int | None, seconds: float | None
) -> tuple[int, float] | tuple[None, float]:
    if (count is None) == (seconds is None):
        both = "both are" if count is not None else "neither is"
        raise LoadError(f"count, seconds: give one of the two; {both} given")
    if count is not None:
        return whole("count", count, 1), 0.0
    return None, positive("seconds", seconds)  # type: ignore[arg-type]
