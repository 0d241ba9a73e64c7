"""Experiments with known answers: lognormal calls with the disturbances that real machines add."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from perflab.measure.samples import Samples

ARM_COUNT = 3


@dataclass(frozen=True)
class Model:
    """A call's latency: base * factor * exp(drift + block + parameters + noise) * tail.

    ``drift`` is shared by a round's arms, ``block`` is one stay's own, ``parameters`` belong to
    a call and are shared by the arms, ``noise`` is the call's own; all are normal standard
    deviations of the logarithm. A share ``tail_share`` of calls takes ``tail_factor`` as long.
    """

    name: str
    bases_s: tuple[float, ...]
    factors: tuple[float, ...]
    """after/before of each operation."""
    rounds: int = 24
    calls: int = 4
    drift: float = 0.2
    block: float = 0.05
    parameters: float = 0.3
    noise: float = 0.3
    tail_share: float = 0.0
    tail_factor: float = 1.0

    @property
    def _spread(self) -> float:
        return float(np.sqrt(self.drift**2 + self.block**2 + self.parameters**2 + self.noise**2))

    def scaled(self, factor: float) -> Model:
        """The same model with one improvement for all operations."""
        return replace(self, factors=(factor,) * len(self.bases_s))

    def mean_s(self, arm: str) -> float:
        """The true mean of an arm's calls."""
        tail = 1 - self.tail_share + self.tail_share * self.tail_factor
        return float(self._scales(arm).mean() * np.exp(self._spread**2 / 2) * tail)

    def quantile_s(self, arm: str, q: float) -> float:
        """The true quantile of an arm's calls, all operations together."""
        scales = self._scales(arm)

        def excess(log_s: float) -> float:
            shares = ((1 - self.tail_share, 1.0), (self.tail_share, self.tail_factor))
            below = sum(
                share * stats.norm.cdf((log_s - np.log(scales * factor)) / self._spread).mean()
                for share, factor in shares
            )
            return float(below - q)

        low, high = np.log(scales.min()) - 9, np.log(scales.max() * self.tail_factor) + 9
        return float(np.exp(optimize.brentq(excess, low, high, xtol=1e-12)))

    def median_ratio(self) -> float:
        """The typical block's after/before of medians, by brute force where factors differ."""
        if len(set(self.factors)) == 1:
            return self.factors[0]
        blocks = self.latencies(np.random.default_rng(9_999), rounds=40_000)
        medians = np.median(blocks.reshape(40_000, ARM_COUNT, -1), axis=2)
        return float(np.exp(np.mean(np.log(medians[:, 1] / medians[:, 0]))))

    def latencies(self, rng: np.random.Generator, rounds: int | None = None) -> NDArray[np.float64]:
        """Shape (rounds, arms, operations, calls), in seconds."""
        rounds = rounds or self.rounds
        shape = (rounds, ARM_COUNT, len(self.bases_s), self.calls)
        logs = (
            self.drift * rng.standard_normal((rounds, 1, 1, 1))
            + self.block * rng.standard_normal((rounds, ARM_COUNT, 1, 1))
            + self.parameters * rng.standard_normal((rounds, 1, *shape[2:]))
            + self.noise * rng.standard_normal(shape)
        )
        scales = np.stack([self._scales(arm) for arm in ("before", "after", "after")])
        tails = np.where(rng.random(shape) < self.tail_share, self.tail_factor, 1.0)
        latencies: NDArray[np.float64] = scales[None, :, :, None] * np.exp(logs) * tails
        return latencies

    def samples(self, seed: int) -> Samples:
        """One experiment."""
        operations = len(self.bases_s)
        shape = (self.rounds, ARM_COUNT, operations, self.calls)
        number = np.indices(shape, dtype=np.int64).reshape(4, -1)
        size = number.shape[1]
        return Samples(
            round=number[0].astype(np.int32),
            arm=number[1].astype(np.int8),
            operation=number[2].astype(np.int16),
            selectivity=np.zeros(size, np.int8),
            call=number[3].astype(np.int16),
            latency_s=self.latencies(np.random.default_rng(seed)).ravel(),
            rows=np.ones(size, np.int64),
            operations=tuple(f"operation_{n}" for n in range(operations)),
            groups=("group",) * operations,
            selectivities=("typical",),
            arms=("before", "after", "control"),
            seed=seed,
        )

    def _scales(self, arm: str) -> NDArray[np.float64]:
        bases = np.asarray(self.bases_s)
        return bases if arm == "before" else bases * np.asarray(self.factors)
