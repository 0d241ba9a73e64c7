"""All data sets at once come to what a general solver finds for each of them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import least_squares

from perflab.capacity.replicates import fit_many

USERS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
TRUE = {
    "with a peak": (0.12, 0.05, 0.002),
    "hardly any contention": (0.05, 0.0, 0.001),
    "no coherency": (0.6, 0.6, 0.0),
    "nearly one after the other": (0.9, 0.98, 0.0),
}
"""γ, σ and κ; noise takes many of the data sets to the bounds."""


def law(gamma: float, sigma: float, kappa: float) -> NDArray[np.float64]:
    slowdown = 1 + sigma * (USERS - 1) + kappa * USERS * (USERS - 1)
    return np.asarray(gamma * USERS / slowdown)


def missed(values: NDArray[np.float64], data: NDArray[np.float64]) -> float:
    return float(np.sum((law(*values.tolist()) - data) ** 2))


def residuals(data: NDArray[np.float64], tried: NDArray[np.float64]) -> NDArray[np.float64]:
    return law(*tried.tolist()) - data


@pytest.mark.parametrize("name", TRUE)
def test_no_data_set_is_fitted_worse_than_by_a_general_solver(name: str) -> None:
    true = np.array(TRUE[name])
    rng = np.random.default_rng(11)
    data = np.maximum(law(*TRUE[name]) * rng.normal(1.0, 0.08, (60, len(USERS))), 0.0)
    found = fit_many(USERS, data, true)
    assert found.shape == (60, 3)
    assert found.min() >= 0
    assert found[:, 1:].max() <= 1
    for values, one in zip(found, data, strict=True):
        known = least_squares(
            partial(residuals, one),
            np.clip(true, 1e-9, 1 - 1e-9),
            bounds=([1e-12, 0.0, 0.0], [np.inf, 1.0, 1.0]),
            x_scale=[1.0, 0.1, 0.01],
            xtol=1e-12,
            ftol=1e-12,
            gtol=1e-12,
        )
        assert missed(values, one) <= missed(known.x, one) * (1 + 1e-6) + 1e-12


def test_data_without_noise_give_the_curve_back_from_afar() -> None:
    data = np.array([law(0.1, 0.03, 0.001), law(0.2, 0.1, 0.004)])
    found = fit_many(USERS, data, np.array([0.3, 0.3, 0.01]))
    assert found == pytest.approx(np.array([[0.1, 0.03, 0.001], [0.2, 0.1, 0.004]]), rel=1e-4)
