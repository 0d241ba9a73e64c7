"""SHARDS (Waldspurger et al., FAST '15): a sample of a trace by a hash of the key.

Either all accesses to a key are in the sample or none. A cache of ``rate * size`` entries on the
sample then behaves like one of ``size`` on the whole trace (for any policy: Waldspurger et al.,
USENIX ATC '17).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perflab.cache.accesses import Accesses, Chunk, Keys, Times
from perflab.cache.entry import CacheError
from perflab.cache.policies.mixing import mix

MAX_KEYS: Final = 1 << 18
"""Up to so many keys (262,144) and MAX_ACCESSES a trace is kept whole and figures are exact."""
MAX_ACCESSES: Final = 1 << 20
"""1,048,576. Bounds memory and time alike: policies but LRU are simulated once a size."""
GROUPS: Final = 8
"""Disjoint parts of a sample, whose disagreement tells its error."""

_SEED: Final = 15
_RANGE: Final = 1 << 64
_KEPT: Final = 0.75
"""The share of a bound that remains after the rate was lowered."""
_COUNT_EVERY: Final = 1 << 18


class Sample:
    """A part of a trace, or all of it."""

    def __init__(
        self,
        mixed: Keys,
        times: Times | None,
        rate: float,
        total_accesses: int,
    ) -> None:
        """Use ``take_sample``. ``mixed``: the keys' mixed hashes, one an access."""
        self.keys, codes = np.unique(mixed, return_inverse=True)
        self.codes: NDArray[np.int64] = codes.astype(np.int64, copy=False)
        """The accesses in order; equal codes mean the same key, below ``len(keys)``."""
        self.times = times
        self.rate = rate
        """The share of keys that are in the sample, by their hashes; 1 for all."""
        self.total_accesses = total_accesses
        """Of the whole trace."""

    @property
    def exact(self) -> bool:
        """True if nothing was left out."""
        return self.rate == 1.0

    @property
    def total_keys(self) -> int:
        """Of the whole trace; an estimate unless ``exact``."""
        return round(len(self.keys) / self.rate)

    @property
    def expected_accesses(self) -> float:
        """How many accesses a sample of this rate has on average.

        The real sample has more or fewer, mostly for the few most popular keys being in it or
        not. These hit at any size, so misses are divided by this number ("SHARDS-adj").
        """
        return self.total_accesses * self.rate

    def group(self, number: int) -> NDArray[np.bool_]:
        """Which accesses belong to one of GROUPS disjoint parts, by other bits of the hash."""
        belongs: NDArray[np.bool_] = (self.keys & np.uint64(GROUPS - 1)) == np.uint64(number)
        return np.take(belongs, self.codes)


def take_sample(
    trace: Accesses,
    *,
    rate: float = 1.0,
    max_keys: int | None = MAX_KEYS,
    max_accesses: int = MAX_ACCESSES,
    seed: int = 0,
) -> Sample:
    """One pass over ``trace``; memory is bounded by ``max_keys`` and ``max_accesses``.

    All of the trace is kept if it is within both bounds. Where it is not, the rate is lowered
    (fixed-size SHARDS): keys with the greatest hashes are dropped with all their accesses, so
    that the outcome is what the final rate would have given from the start. ``rate`` below 1
    fixes the rate to begin with. Between 3/4 of a bound and the bound remain, unless a single
    key has more than that. Another ``seed`` takes other keys.

    CacheError: a trace without accesses, none of which the rate left, or a rate out of range.
    """
    if not 0 < rate <= 1:
        raise CacheError(f"rate={rate}: a sampling rate lies above 0 and is at most 1")
    if max_accesses < 1 or (max_keys is not None and max_keys < 1):
        raise CacheError(f"max_keys={max_keys}, max_accesses={max_accesses}: both are positive")
    sampler = _Sampler(rate, max_keys, max_accesses, seed)
    for chunk in trace.chunks():
        sampler.feed(chunk)
    return sampler.sample()


class _Sampler:
    """Keeps the accesses whose key's mixed hash lies below a threshold, and lowers that."""

    def __init__(self, rate: float, max_keys: int | None, max_accesses: int, seed: int) -> None:
        self._threshold = round(rate * _RANGE)
        self._max_keys = max_keys
        self._seed = _SEED + seed
        self._mixed: Keys = np.empty(max_accesses, dtype=np.uint64)
        self._times: Times | None = None
        self._count = 0
        self._uncounted = 0
        self._total = 0

    def feed(self, chunk: Chunk) -> None:
        """More of the trace."""
        if self._total == 0 and chunk.times is not None:
            self._times = np.empty(len(self._mixed), dtype=np.float64)
        self._total += len(chunk)
        mixed, times = self._below(mix(chunk.keys, self._seed), chunk.times)
        while len(mixed):
            room = len(self._mixed) - self._count
            self._append(mixed[:room], None if times is None else times[:room])
            mixed, times = mixed[room:], None if times is None else times[room:]
            if len(mixed):
                self._drop_accesses()
                mixed, times = self._below(mixed, times)
            elif self._uncounted >= _COUNT_EVERY:
                self._drop_keys()

    def sample(self) -> Sample:
        """What was kept."""
        self._drop_keys()
        if not self._total:
            raise CacheError("no sample: the trace has no accesses")
        if not self._count:
            raise CacheError(
                f"no sample: at a rate of {self._threshold / _RANGE:.2g} no key of the"
                f" {self._total:,} accesses is left; raise the rate or the bounds"
            )
        times = None if self._times is None else self._times[: self._count].copy()
        rate = self._threshold / _RANGE
        return Sample(self._mixed[: self._count].copy(), times, rate, self._total)

    def _append(self, mixed: Keys, times: Times | None) -> None:
        end = self._count + len(mixed)
        self._mixed[self._count : end] = mixed
        if self._times is not None and times is not None:
            self._times[self._count : end] = times
        self._count = end
        self._uncounted += len(mixed)

    def _drop_accesses(self) -> None:
        """The buffer is full and more accesses have come: lower the threshold."""
        kept = self._mixed[: self._count]
        left = math.floor(_KEPT * len(kept))
        self._lower(int(np.partition(kept, left)[left]))

    def _drop_keys(self) -> None:
        """Lower the threshold if there are more keys than may be."""
        self._uncounted = 0
        if self._max_keys is None:
            return
        keys = np.unique(self._mixed[: self._count])
        if len(keys) > self._max_keys:
            self._lower(int(keys[math.floor(_KEPT * self._max_keys)]))

    def _lower(self, threshold: int) -> None:
        """Drop what is not below the new threshold, a hash that is in the sample."""
        self._threshold = threshold
        mixed, times = self._mixed[: self._count], self._times
        keep = mixed < np.uint64(threshold)
        self._count = int(np.count_nonzero(keep))
        if times is not None:
            times[: self._count] = times[: len(keep)][keep]
        self._mixed[: self._count] = mixed[keep]

    def _below(self, mixed: Keys, times: Times | None) -> tuple[Keys, Times | None]:
        if self._threshold >= _RANGE:
            return mixed, times
        keep = mixed < np.uint64(self._threshold)
        return mixed[keep], None if times is None else times[keep]
