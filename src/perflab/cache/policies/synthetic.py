"""Generated accesses with known popularities: bounded Zipf, alone or with scans through it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perflab.cache.accesses import Chunk
from perflab.cache.entry import CacheError
from perflab.cache.policies.mixing import mix

CHUNK_ACCESSES: Final = 1 << 16
_SCAN_BIT: Final = np.uint64(1 << 62)


def zipf_popularities(keys: int, alpha: float) -> NDArray[np.float64]:
    """The share of accesses of each of ``keys`` keys, the most popular first.

    The k-th key's share is proportional to ``k ** -alpha``. Unlike ``numpy.random.zipf`` this
    is bounded, so that any ``alpha >= 0`` is possible.
    """
    if keys < 1:
        raise CacheError(f"keys={keys}: a workload has at least one key")
    if not 0 <= alpha < 100:
        raise CacheError(f"alpha={alpha}: Zipf's exponent lies between 0 and 100")
    weights: NDArray[np.float64] = np.arange(1, keys + 1, dtype=np.float64) ** -alpha
    weights /= weights.sum()
    return weights


class ZipfAccesses:
    """Independent references to ``keys`` keys by bounded Zipf, as a Poisson stream in time.

    With ``scan_every``, a scan of ``scan_keys`` keys that never come again is put in after
    every ``scan_every`` accesses: what a nightly report or a crawler does to a cache.
    The same arguments give the same accesses in every pass.
    """

    def __init__(
        self,
        accesses: int,
        *,
        keys: int,
        alpha: float = 1.0,
        seed: int = 0,
        rate_per_s: float | None = None,
        scan_every: int | None = None,
        scan_keys: int = 0,
    ) -> None:
        """``rate_per_s``: Poisson arrivals per second of all accesses; None for no times."""
        if accesses < 1:
            raise CacheError(f"accesses={accesses}: a workload has at least one access")
        if rate_per_s is not None and not rate_per_s > 0:
            raise CacheError(f"rate_per_s={rate_per_s}: a rate is positive")
        if scan_every is not None and (scan_every < 1 or scan_keys < 1):
            raise CacheError(f"scan_every={scan_every}, scan_keys={scan_keys}: both are positive")
        self._accesses = accesses
        self._cumulated = np.cumsum(zipf_popularities(keys, alpha))
        self._seed = seed
        self._rate_per_s = rate_per_s
        self._scan_every = scan_every
        self._scan_keys = scan_keys

    def chunks(self) -> Iterator[Chunk]:
        """All accesses, CHUNK_ACCESSES at a time."""
        rng = np.random.default_rng(self._seed)
        now_s = 0.0
        for start in range(0, self._accesses, CHUNK_ACCESSES):
            count = min(CHUNK_ACCESSES, self._accesses - start)
            ranks = np.searchsorted(self._cumulated, rng.random(count), side="right")
            ranks = np.minimum(ranks, len(self._cumulated) - 1)  # the sum may round below 1
            keys = self._with_scans(ranks.astype(np.uint64), start)
            times = None
            if self._rate_per_s is not None:
                times = now_s + np.cumsum(rng.exponential(1 / self._rate_per_s, count))
                now_s = float(times[-1])
            yield Chunk(mix(keys), times)

    def _with_scans(self, keys: NDArray[np.uint64], start: int) -> NDArray[np.uint64]:
        """Accesses replaced by those of scans, where these fall in the stream's positions."""
        if self._scan_every is None:
            return keys
        positions = np.arange(start, start + len(keys), dtype=np.uint64)
        period = np.uint64(self._scan_every + self._scan_keys)
        in_scan = positions % period >= np.uint64(self._scan_every)
        return np.where(in_scan, positions | _SCAN_BIT, keys)
