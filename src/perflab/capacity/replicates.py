"""The scalability law fitted to hundreds of resampled data sets at once, for its bootstrap."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LOW: Final = np.array([1e-12, 0.0, 0.0])
_HIGH: Final = np.array([np.inf, 1.0, 1.0])
_MOST_STEPS: Final = 200
_CONVERGED: Final = 1e-9
"""No parameter moves by more than this any longer, as a share of itself."""
_TINY: Final = 1e-15


def fit_many(users: Floats, throughput: Floats, start: Floats) -> Floats:
    """γ, σ and κ by least squares within their bounds, for each of many data sets.

    Levenberg's and Marquardt's steps (Nocedal and Wright, Numerical Optimization, 2006, §10.3),
    cut off at the bounds; a parameter that lies at one and is pushed outward stays there. All data
    sets take their steps together, which costs a hundredth of one call of a solver for each.

    Args:
        users: concurrency of each point, shape ``(n,)``.
        throughput: one data set a row, scaled to about 1, shape ``(k, n)``.
        start: γ, σ and κ that are near, shape ``(3,)``.

    Returns:
        The parameters, shape ``(k, 3)``.
    """
    found = np.tile(np.clip(start, _LOW, _HIGH), (len(throughput), 1))
    damping = np.full(len(found), 1e-3)
    model, slopes = _law(users, found)
    cost = np.sum((model - throughput) ** 2, axis=1)
    for _ in range(_MOST_STEPS):
        gradient = np.einsum("kni,kn->ki", slopes, model - throughput)
        held = ((found <= _LOW) & (gradient > 0)) | ((found >= _HIGH) & (gradient < 0))
        slopes = slopes * ~held[:, None, :]
        normal = np.einsum("kni,knj->kij", slopes, slopes)
        diagonal = np.einsum("kii->ki", normal)
        diagonal += damping[:, None] * diagonal + np.where(held, 1.0, _TINY)
        step = -np.linalg.solve(normal, (gradient * ~held)[:, :, None])[:, :, 0]
        tried = np.clip(found + step, _LOW, _HIGH)
        tried_model, tried_slopes = _law(users, tried)
        tried_cost = np.sum((tried_model - throughput) ** 2, axis=1)
        better = tried_cost <= cost
        moved = np.abs(tried - found) > _CONVERGED * (np.abs(found) + _CONVERGED)
        found = np.where(better[:, None], tried, found)
        cost = np.where(better, tried_cost, cost)
        damping = np.where(better, damping / 5, damping * 4)
        if not np.any(moved):
            break
        model, slopes = _law(users, found)
    return found


def _law(users: Floats, parameters: Floats) -> tuple[Floats, Floats]:
    """Throughput, shape ``(k, n)``, and its slopes in γ, σ and κ, shape ``(k, n, 3)``."""
    gamma, sigma, kappa = (parameters[:, [i]] for i in range(3))
    alone, pairs = users - 1, users * (users - 1)
    by_gamma = users / (1 + sigma * alone + kappa * pairs)
    common = -gamma * by_gamma**2 / users
    return gamma * by_gamma, np.stack([by_gamma, common * alone, common * pairs], axis=2)
