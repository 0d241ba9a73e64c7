"""When requests are due in an open load: at a constant rate, at random, at a rate that changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from perflab.arguments import is_finite
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
    whole("seed", seed, 0)
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


class Stage(msgspec.Struct, frozen=True):
    """A stretch of time in which the rate goes in a straight line from one value to another."""

    seconds: float
    from_per_s: float
    to_per_s: float


def staged(stages: Sequence[Stage], *, seed: int | None = None) -> Seconds:
    """Arrivals at a rate that changes: seconds from the start, ascending, shape ``(n,)``.

    Arrivals of rate 1 are stretched by the inverse of the expected number until then (the time
    change of an inhomogeneous Poisson process; Çinlar, Introduction to Stochastic Processes,
    1975, section 4.7). Without a seed they are those at equal distances, so that the rate is
    exact; with one they are Poisson.

    A LoadError names what is out of range.
    """
    if not stages:
        raise LoadError("stages: must be at least one")
    for stage in stages:
        positive("seconds", stage.seconds)
        for name in ("from_per_s", "to_per_s"):
            _rate(name, getattr(stage, name))
    lengths = np.array([stage.seconds for stage in stages])
    first = np.array([stage.from_per_s for stage in stages])
    last = np.array([stage.to_per_s for stage in stages])
    reached = np.concatenate(([0.0], np.cumsum((first + last) / 2 * lengths)))
    if not reached[-1] > 0:
        raise LoadError("stages: the rate is 0 all the time, so nothing would be sent")
    marks = (
        constant(1.0, seconds=reached[-1])
        if seed is None
        else poisson(1.0, seed=seed, seconds=reached[-1])
    )
    number = np.minimum(np.searchsorted(reached, marks, side="right") - 1, len(stages) - 1)
    within = marks - reached[number]
    begin = np.concatenate(([0.0], np.cumsum(lengths)[:-1]))[number]
    slope = ((last - first) / lengths)[number]
    rate = first[number]
    # the root of rate*t + slope*t**2/2 = within that does not divide by the slope, which may be 0
    now = np.sqrt(np.maximum(rate**2 + 2 * slope * within, 0.0))
    into: Seconds = np.divide(2 * within, rate + now, out=np.zeros_like(within), where=within > 0)
    return begin + into


def ramp(from_per_s: float, to_per_s: float, *, seconds: float, seed: int | None = None) -> Seconds:
    """The rate goes in a straight line from one value to another; see ``staged``."""
    return staged([Stage(seconds, from_per_s, to_per_s)], seed=seed)


def steps(rates_per_s: Sequence[float], *, step_s: float, seed: int | None = None) -> Seconds:
    """Each rate for ``step_s`` seconds, one after the other; see ``staged``."""
    return staged([Stage(step_s, rate, rate) for rate in rates_per_s], seed=seed)


def spike(
    base_per_s: float,
    peak_per_s: float,
    *,
    seconds: float,
    at_s: float,
    spike_s: float,
    seed: int | None = None,
) -> Seconds:
    """``base_per_s`` for ``seconds`` in all, ``peak_per_s`` from ``at_s`` for ``spike_s`` of them.

    See ``staged``. A LoadError if the spike does not lie within.
    """
    before = positive("at_s", at_s)
    after = positive("seconds", seconds) - before - positive("spike_s", spike_s)
    if not after > 0:
        raise LoadError(f"at_s, spike_s: the spike must end before the {seconds:g} s are over")
    return staged(
        [
            Stage(before, base_per_s, base_per_s),
            Stage(spike_s, peak_per_s, peak_per_s),
            Stage(after, base_per_s, base_per_s),
        ],
        seed=seed,
    )


def thinking(mean_s: float, *, seed: int, count: int) -> Seconds:
    """Pauses of users who think, exponentially distributed: for ``run_closed``, shape ``(n,)``."""
    uniform = np.random.default_rng(whole("seed", seed, 0)).random(whole("count", count, 1))
    return -np.log1p(-uniform) * positive("mean_s", mean_s)


def positive(name: str, value: float) -> float:
    """The value if it is a finite number above 0; else a LoadError with the argument's name."""
    if not is_finite(value) or value <= 0:
        raise LoadError(f"{name}: must be a finite number above 0, not {value!r:.60}")
    return float(value)


def whole(name: str, value: int, least: int) -> int:
    """The value if it is a whole number of at least ``least``; else a LoadError naming it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise LoadError(f"{name}: must be a whole number of at least {least}, not {value!r}")
    return int(value)


def _rate(name: str, value: float) -> None:
    if value != 0:
        positive(name, value)


def _count_or_seconds(
    count: int | None, seconds: float | None
) -> tuple[int, float] | tuple[None, float]:
    if count is not None and seconds is None:
        return whole("count", count, 1), 0.0
    if seconds is not None and count is None:
        return None, positive("seconds", seconds)
    both = "both are" if count is not None else "neither is"
    raise LoadError(f"count, seconds: give one of the two; {both} given")
