"""The random pieces that tables are made of: moments, people, choices, spans of time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from perflab.schema.population import DAY_US, NOW, Ints, Population, us
from perflab.schema.vocabulary import cdf

NOW_US = us(NOW)
HOUR_US = 3_600_000_000

# Share of activity by hour of the day in UTC, from 18:00 on (days are cut at NOW).
_HOURS = np.array(
    [4.5, 4.5, 4.5, 4, 3, 2, 1, 0.6, 0.4, 0.3, 0.4, 0.8, 2, 4, 6, 7, 7, 6, 5.5, 6, 6.5, 6.5, 6, 5]
)
_HOUR_CDF = np.concatenate(([0.0], cdf(_HOURS)))


def times(rng: np.random.Generator, ids: Ints, total: int, since_us: int) -> Ints:
    """Increasing moments from ``since_us`` to NOW: growing use, a daily rhythm."""
    share = (ids - 1 + rng.random(len(ids))) / total
    elapsed = (NOW_US - since_us) * share**0.7
    before_now = (NOW_US - since_us) - elapsed
    day = np.ceil(before_now / DAY_US)
    within = 1.0 - (before_now / DAY_US - (day - 1))
    shaped = np.interp(within, _HOUR_CDF, np.linspace(0.0, 1.0, len(_HOUR_CDF)))
    moments: Ints = (NOW_US - (day - shaped) * DAY_US).astype(np.int64)
    return moments


def users_at(population: Population, rng: np.random.Generator, at_us: Ints) -> Ints:
    """Users by activity who had signed up by then."""
    user = population.draw_users(rng, len(at_us))
    known = population.users_by(at_us)
    found: Ints = np.where(user > known, 1 + (user - 1) % known, user)
    return found


def choose(rng: np.random.Generator, shares: npt.ArrayLike, size: int) -> Ints:
    """Numbers 0, 1, … in these shares."""
    chosen: Ints = np.searchsorted(cdf(np.asarray(shares, float)), rng.random(size), "right")
    return chosen


def lognormal_us(rng: np.random.Generator, median_us: Any, sigma: float, size: int) -> Ints:
    """Spans of time around a median, skewed to the long side."""
    spans: Ints = (median_us * np.exp(sigma * rng.standard_normal(size))).astype(np.int64)
    return spans


def mix(number: Ints, salt: int) -> npt.NDArray[np.uint64]:
    """64 well-mixed bits of each number (the finaliser of SplitMix64)."""
    x = number.astype(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(number: Ints, salt: int) -> npt.NDArray[np.float64]:
    """A fixed number in [0, 1] for each number."""
    return mix(number, salt).astype(np.float64) / 2.0**64
