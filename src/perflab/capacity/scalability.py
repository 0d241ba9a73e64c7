"""The Universal Scalability Law fitted to closed loads: what more concurrency brings, and costs.

X(N) = γN / (1 + σ(N−1) + κN(N−1)): γ is what one user gets, σ the share that is done one after
the other (contention), κ what users cost each other (coherency). N. J. Gunther, Guerrilla Capacity
Planning (Springer, 2007), ch. 4; the R package ``usl`` is the reference that tests compare with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from perflab.capacity.errors import CapacityError
from perflab.capacity.replicates import fit_many
from perflab.measure.statistics import TAIL, Estimate, Interval, NotEstimable

Floats = NDArray[np.float64]

MIN_LOADS: Final = 6
"""Different concurrencies that three parameters and their spread can be read off."""
MIN_RISE: Final = 1.2
"""The highest throughput over that of the fewest users: less, and there is no growth to fit."""
MOST_MISS: Final = 0.20
"""Of the highest throughput: a curve that misses a point by more is not of this law's shape."""
REACH: Final = 2.0
"""A curve is read up to so many times the most users that were measured."""
RESAMPLES: Final = 999
_START: Final = (0.01, 0.0001)
_TOLERANCE: Final = 1e-10
_NOTHING: Final = 1e-9
"""A κ below this is 0: the bound keeps the solver a hair above it."""


@dataclass(frozen=True)
class NotFitted:
    """In place of a curve that the points do not carry, with the reason."""

    reason: str


@dataclass(frozen=True)
class Parameters:
    """One curve."""

    gamma: float
    """Requests a second of one user."""
    sigma: float
    kappa: float

    def at(self, users: Floats | float) -> Floats:
        """Requests a second at these concurrencies."""
        n = np.asarray(users, dtype=np.float64)
        return np.asarray(self.gamma * n / _slowdown(n, self.sigma, self.kappa))

    @property
    def peak_users(self) -> float:
        """N* = √((1−σ)/κ), where throughput is highest; infinite at κ = 0."""
        return math.sqrt((1 - self.sigma) / self.kappa) if self.kappa > _NOTHING else math.inf

    @property
    def limit(self) -> float:
        """Amdahl's limit γ/σ, which throughput would come to if users cost each other nothing."""
        return self.gamma / self.sigma if self.sigma > _NOTHING else math.inf

    @property
    def highest(self) -> float:
        """The most requests a second that the curve comes to."""
        peak = self.peak_users
        return float(self.at(peak)) if math.isfinite(peak) else self.limit

    @property
    def knee_users(self) -> float:
        """Where linear growth would come to the highest throughput: from here on users wait."""
        return self.highest / self.gamma


@dataclass(frozen=True)
class Scalability:
    """A fitted curve with the replicates of a bootstrap, which every interval comes from."""

    users: Floats
    """Concurrency of each point, shape ``(n,)``."""
    throughput: Floats
    """Requests a second of each point, shape ``(n,)``."""
    fitted: Parameters
    replicates: tuple[Parameters, ...]

    @property
    def residuals(self) -> Floats:
        """Measured less fitted, requests a second, shape ``(n,)``."""
        return self.throughput - self.fitted.at(self.users)

    @property
    def gamma(self) -> Interval:
        """Requests a second of one user."""
        return self._interval(self.fitted.gamma, [one.gamma for one in self.replicates])

    @property
    def sigma(self) -> Interval:
        """Contention."""
        return self._interval(self.fitted.sigma, [one.sigma for one in self.replicates])

    @property
    def kappa(self) -> Interval:
        """Coherency."""
        return self._interval(self.fitted.kappa, [one.kappa for one in self.replicates])

    @property
    def limit(self) -> Estimate:
        """Amdahl's limit, requests a second."""
        if self.fitted.limit > self._most_users * self.fitted.gamma:
            return NotEstimable(f"too little contention up to {self.users.max():g} users (σ ≈ 0)")
        return self._interval(self.fitted.limit, [one.limit for one in self.replicates])

    @property
    def knee(self) -> Estimate:
        """Users from which on they wait for each other."""
        if self.fitted.knee_users > self._most_users:
            return NotEstimable(f"throughput rose with the users up to {self.users.max():g}")
        return self._interval(self.fitted.knee_users, [one.knee_users for one in self.replicates])

    @property
    def peak_users(self) -> Estimate:
        """Users at which throughput is highest."""
        if reason := self._peakless():
            return NotEstimable(reason)
        return self._interval(self.fitted.peak_users, [one.peak_users for one in self.replicates])

    @property
    def peak(self) -> Estimate:
        """The highest throughput, requests a second."""
        if reason := self._peakless():
            return NotEstimable(reason)
        return self._interval(self.fitted.highest, [one.highest for one in self.replicates])

    def at(self, users: float) -> Interval:
        """Requests a second at one concurrency; a CapacityError too far beyond the points."""
        if not 1 <= users <= self._most_users:
            raise CapacityError(
                f"users={users:g}: the curve was fitted up to {self.users.max():g} users and is"
                f" read from 1 to {self._most_users:g}; measure closer to where you want to know"
            )
        return self._interval(
            float(self.fitted.at(users)), [float(one.at(users)) for one in self.replicates]
        )

    def _peakless(self) -> str:
        """Why no peak can be told; empty where one can."""
        peak = self.fitted.peak_users
        if not math.isfinite(peak):
            return "users cost each other nothing (κ = 0): a curve without a peak"
        if peak > self._most_users:
            return (
                f"the peak would lie at {peak:,.0f} users, beyond {REACH:g} times the"
                f" {self.users.max():g} that were measured: load with more users"
            )
        return ""

    @property
    def _most_users(self) -> float:
        """As far as the curve is read."""
        return REACH * float(self.users.max())

    @staticmethod
    def _interval(value: float, replicates: Sequence[float]) -> Interval:
        low, high = np.quantile(
            np.asarray(replicates, dtype=np.float64), [TAIL, 1 - TAIL], method="inverted_cdf"
        )
        return Interval(value, min(value, float(low)), max(value, float(high)))


def fit(
    users: Sequence[float],
    throughput: Sequence[float],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Scalability | NotFitted:
    """The law by least squares in its usual form, with σ and κ in [0, 1].

    Residuals are resampled, scaled up by √(n/(n−3)) for the parameters they were fitted with
    (Davison and Hinkley, Bootstrap Methods and their Application, 1997, §6.2 and 7.3).

    Args:
        users: concurrency of each closed load, at least 1; repetitions are points of their own.
        throughput: requests a second of each.
        seed: of the bootstrap.
        resamples: replicates of it.

    Returns:
        A NotFitted for fewer than ``MIN_LOADS`` different concurrencies, for throughput that
        hardly rises, and for points that the law does not describe. A curve without a peak is
        a curve; its ``peak`` says why there is none.

    A CapacityError names an argument that is no measurement.
    """
    n, x = _measurements(users, throughput)
    different = np.unique(n)
    if len(different) < MIN_LOADS:
        return NotFitted(f"{len(different)} different loads; a curve needs {MIN_LOADS}")
    fewest = float(x[n == different[0]].mean())
    if x.max() < MIN_RISE * fewest:
        return NotFitted(
            f"throughput hardly rises: {fewest:,.4g} requests/s at {different[0]:g} users, at most"
            f" {x.max():,.4g} at any other; begin with fewer users"
        )
    fitted = _least_squares(n, x, Parameters(float((x / n).max()), *_START))
    missed = np.abs(x - fitted.at(n))
    if missed.max() > MOST_MISS * x.max():
        return NotFitted(
            f"the law does not describe these points: at {n[missed.argmax()]:g} users it is off by"
            f" {missed.max() / x.max():.0%} of the highest throughput"
        )
    rng = np.random.default_rng(seed)
    residuals = (x - fitted.at(n)) * math.sqrt(len(n) / (len(n) - 3))
    residuals -= residuals.mean()
    draws = rng.choice(residuals, size=(resamples, len(n)))
    scale = float(x.max())
    near = np.array([fitted.gamma / scale, fitted.sigma, fitted.kappa])
    found = fit_many(n, np.maximum(fitted.at(n) + draws, 0.0) / scale, near)
    replicates = tuple(
        Parameters(gamma * scale, sigma, kappa) for gamma, sigma, kappa in found.tolist()
    )
    return Scalability(n, x, fitted, replicates)


def _measurements(users: Sequence[float], throughput: Sequence[float]) -> tuple[Floats, Floats]:
    n, x = np.asarray(users, dtype=np.float64), np.asarray(throughput, dtype=np.float64)
    if n.ndim != 1 or n.shape != x.shape:
        raise CapacityError(f"throughput: {x.size} figures for {n.size} loads; one each is needed")
    if n.size and not (np.isfinite(n).all() and n.min() >= 1):
        raise CapacityError("users: a concurrency is a finite number from 1 on")
    if x.size and not (np.isfinite(x).all() and x.min() > 0):
        raise CapacityError("throughput: requests a second are a finite number above 0")
    return n, x


def _slowdown(n: Floats, sigma: float, kappa: float) -> Floats:
    return 1 + sigma * (n - 1) + kappa * n * (n - 1)


def _least_squares(n: Floats, x: Floats, start: Parameters) -> Parameters:
    """Throughput is scaled to about 1, so that one tolerance fits every server."""
    scale = float(x.max())

    def residuals(values: Floats) -> Floats:
        gamma, sigma, kappa = values
        return np.asarray(gamma * n / _slowdown(n, sigma, kappa) - x / scale)

    def jacobian(values: Floats) -> Floats:
        gamma, sigma, kappa = values
        slowdown = _slowdown(n, sigma, kappa)
        by_gamma = n / slowdown
        common = -gamma * by_gamma / slowdown
        return np.column_stack([by_gamma, common * (n - 1), common * n * (n - 1)])

    first = [start.gamma / scale, min(start.sigma, 1 - 1e-6), start.kappa]
    found = least_squares(
        residuals,
        np.clip(first, 1e-12, None),
        jac=jacobian,
        bounds=([1e-12, 0.0, 0.0], [np.inf, 1.0, 1.0]),
        x_scale=[1.0, 0.1, 0.01],
        xtol=_TOLERANCE,
        ftol=_TOLERANCE,
        gtol=_TOLERANCE,
    )
    gamma, sigma, kappa = (float(value) for value in found.x)
    return Parameters(gamma * scale, sigma, kappa)
