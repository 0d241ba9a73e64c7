"""Hit ratios by formula, to be printed beside the measured ones.

All of them assume independent references: each key is asked for at its own constant rate, at
random times (Poisson).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, optimize

from perflab.cache.entry import CacheError

Floats = NDArray[np.float64]

_STEPS: Final = 64
_PERIODS: Final = 64
_GRID: Final = 256


def ttl_hit_ratio(rates_per_s: ArrayLike, ttl_s: float) -> float:
    """The hit ratio of a cache without a limit of size, whose entries live ``ttl_s`` seconds.

    A miss is followed by λτ hits on average, so a key's ratio is λτ / (1 + λτ); over several
    keys the ratios are weighted with the rates.
    """
    rates = _rates(rates_per_s)
    _positive("ttl_s", ttl_s)
    return _weighted(rates, _per_cycle(rates * ttl_s))


def characteristic_time_s(rates_per_s: ArrayLike, size: int) -> float:
    """Che's approximation: after how long without an access LRU evicts a key (infinite if all
    fit).

    The T at which the expected number of keys accessed within T equals ``size``:
    Σ (1 - exp(-λT)) = size (Che, Tung, Wang, IEEE JSAC 20(7), 2002).
    """
    rates = _rates(rates_per_s)
    _positive("size", size)
    if size >= len(rates):
        return math.inf

    def surplus(log_time: float) -> float:
        return float(-np.expm1(-rates * math.exp(log_time)).sum()) - size

    # Each term is at most λT, so T is at least size / Σλ; the rarest key bounds it above.
    low = math.log(size / rates.sum()) - 1
    high = low + 2
    while surplus(high) < 0:
        high += 2
    return math.exp(float(optimize.brentq(surplus, low, high, xtol=1e-10)))


def lru_hit_ratio(rates_per_s: ArrayLike, size: int) -> float:
    """LRU's hit ratio by Che's approximation: a key hits if asked again within T."""
    rates = _rates(rates_per_s)
    time_s = characteristic_time_s(rates, size)
    return _weighted(rates, -np.expm1(-rates * time_s))


def lru_ttl_hit_ratio(rates_per_s: ArrayLike, size: int, ttl_s: float) -> float:
    """LRU whose entries live ``ttl_s`` after their load, an expired one being loaded in place.

    Such a cache holds the same keys as LRU without a TTL, so Che's T is the same. Between two
    loads of a key, accesses hit until one comes more than T after the last or more than
    ``ttl_s`` after the load. Their expected number m is that of a renewal process whose gaps
    end it when they exceed T; the key's ratio is m / (1 + m). For ``ttl_s`` <= T that is the
    formula of ``ttl_hit_ratio``, for an infinite one that of ``lru_hit_ratio``.
    """
    rates = _rates(rates_per_s)
    _positive("ttl_s", ttl_s)
    time_s = characteristic_time_s(rates, size)
    if ttl_s <= time_s:
        return ttl_hit_ratio(rates, ttl_s)
    if math.isinf(ttl_s):
        return lru_hit_ratio(rates, size)
    # The function is smooth in log λ: compute it on a grid and interpolate for many keys.
    asked = rates[rates > 0]
    logs = np.log(asked)
    grid = np.linspace(logs.min(), logs.max(), _GRID) if len(asked) > _GRID else np.sort(logs)
    ratios = _per_cycle(_hits_until(np.exp(grid), time_s, ttl_s))
    return _weighted(asked, np.interp(logs, grid, ratios))


def _hits_until(rates: Floats, time_s: float, ttl_s: float) -> Floats:
    """Expected hits within ``ttl_s`` of a load, where a gap above ``time_s`` (T) ends them.

    Their density u(t) obeys u = f + ∫ f(s) u(t-s) ds with f(s) = λ exp(-λs) for s < T, else 0.
    Hence u = λ until T, u = λ (1 - exp(-λT)) just after T, and u'(t) = -λ exp(-λT) u(t-T) from
    there on: solved one T after the other by the trapezoidal rule. Since λT exp(-λT) <= 1/e,
    u ends as a pure exponential, which gives the rest.
    """
    survival = np.exp(-rates * time_s)
    step_s = time_s / _STEPS
    density = np.broadcast_to(rates, (_STEPS + 1, len(rates)))
    start = rates * (1 - survival)
    hits: Floats = rates * time_s
    left_s = ttl_s - time_s
    for _ in range(_PERIODS):
        passed = integrate.cumulative_trapezoid(density, dx=step_s, axis=0, initial=0)
        density = np.maximum(start - rates * survival * passed, 0.0)
        gained = integrate.cumulative_trapezoid(density, dx=step_s, axis=0, initial=0)
        if left_s <= time_s:
            at = left_s / step_s
            low = min(int(at), _STEPS - 1)
            hits += gained[low] + (gained[low + 1] - gained[low]) * (at - low)
            return hits
        hits += gained[-1]
        left_s -= time_s
        before, start = start, density[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        decay = -np.log(start / before) / time_s
        rest = start * -np.expm1(-decay * left_s) / decay
    rest = np.where(start <= 0, 0.0, np.where(decay * left_s < 1e-12, start * left_s, rest))
    hits += rest
    return hits


def _per_cycle(hits: Floats) -> Floats:
    """The hit ratio of one miss followed by so many hits."""
    return np.where(np.isinf(hits), 1.0, hits / (1.0 + np.where(np.isinf(hits), 0.0, hits)))


def _weighted(rates: Floats, ratios: Floats) -> float:
    return float(np.average(ratios, weights=rates))


def _rates(rates_per_s: ArrayLike) -> Floats:
    rates = np.atleast_1d(np.asarray(rates_per_s, dtype=np.float64))
    if not (len(rates) and np.isfinite(rates).all() and (rates >= 0).all() and rates.any()):
        raise CacheError("request rates are finite numbers from 0 on, at least one above 0")
    return rates


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise CacheError(f"{name}={value}: must be positive")
