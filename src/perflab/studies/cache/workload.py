"""Who asks for what: generated requests with a stated skew, or a trace of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perflab.cache.accesses import Accesses
from perflab.cache.policies.synthetic import ZipfAccesses, zipf_popularities
from perflab.cache.traces import Trace, open_trace
from perflab.parameters import CacheParameters
from perflab.profiles import CacheSizes

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

TWITTER_ALPHAS: Final = (0.63, 1.21, 1.51)
"""Quartiles of Zipf's exponent over Twitter's caches (twitter/cache-trace, 2020)."""
MEDIAN_VALUE_BYTES: Final = 224
"""Of the values in Twitter's caches."""
VALUE_SIGMA: Final = 1.0
"""Of the logarithm of a value's size: assumed, since the statistics do not say."""

_ENDLESS: Final = 1 << 40
_LARGEST_BYTES: Final = 32_768


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Requests in order, each for one key, and what is known about their popularity."""

    title: str
    """What they are, for tables and plots."""
    accesses: Accesses
    """Generated ones have no end."""
    keys: int
    """Different keys that are generated."""
    seed: int
    alpha: float
    """Zipf's exponent of generated requests."""
    trace: Trace | None = None
    """The file that the requests come from; None where they are generated."""

    @property
    def synthetic(self) -> bool:
        """Whether the requests are generated."""
        return self.trace is None

    def first(self, count: int) -> Codes:
        """The first ``count`` requests, fewer if there are no more.

        Equal codes mean equal keys. Codes of generated requests are ranks: 0 is the most popular.
        """
        parts: list[NDArray[np.uint64]] = []
        missing = count
        for chunk in self.accesses.chunks():
            parts.append(chunk.keys[:missing])
            missing -= len(parts[-1])
            if missing <= 0:
                break
        _keys, codes = np.unique(np.concatenate(parts), return_inverse=True)
        by_rank = np.argsort(np.argsort(-np.bincount(codes), kind="stable"))
        ranked: Codes = by_rank[codes]
        return ranked

    def bounded(self, count: int) -> Accesses:
        """``count`` generated requests, or the whole trace."""
        return self.trace or ZipfAccesses(count, keys=self.keys, alpha=self.alpha, seed=self.seed)

    def shares(self, codes: Codes) -> Floats:
        """Each key's share of the requests: as generated, or as ``codes`` of a trace show."""
        if self.synthetic:
            return zipf_popularities(self.keys, self.alpha)
        counts = np.bincount(codes)
        found: Floats = counts / counts.sum()
        return found


def synthetic(keys: int, alpha: float, seed: int) -> Workload:
    """Independent requests by bounded Zipf."""
    return Workload(
        title=f"synthetic (bounded Zipf, {keys:,} keys, alpha {alpha:g})",
        accesses=ZipfAccesses(_ENDLESS, keys=keys, alpha=alpha, seed=seed),
        keys=keys,
        seed=seed,
        alpha=alpha,
    )


def choose_workload(parameters: CacheParameters, sizes: CacheSizes) -> Workload:
    """The requests of the parameter ``trace``, else generated ones.

    A TraceError says why a file cannot be a trace.
    """
    generated = synthetic(sizes.keys, parameters.alpha, parameters.seed)
    if not parameters.trace:
        return generated
    trace = open_trace(parameters.trace)
    return Workload(
        title=f"{trace.path.name} ({trace.format})",
        accesses=trace,
        keys=generated.keys,
        seed=generated.seed,
        alpha=generated.alpha,
        trace=trace,
    )


class Values:
    """A value for each key: text of a fixed size, most of them small."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 3])
        drawn = rng.lognormal(np.log(MEDIAN_VALUE_BYTES), VALUE_SIGMA, 4_096)
        self._sizes = np.clip(drawn, 1, _LARGEST_BYTES).astype(int).tolist()
        letters = rng.integers(ord("a"), ord("z") + 1, _LARGEST_BYTES, dtype=np.uint8)
        self._text = letters.tobytes().decode()

    def of(self, code: int) -> str:
        """The value of a key."""
        return self._text[: self._sizes[code % len(self._sizes)]]

    @property
    def mean_bytes(self) -> float:
        """Over all keys."""
        return float(np.mean(self._sizes))
