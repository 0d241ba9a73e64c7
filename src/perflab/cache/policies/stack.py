"""LRU at all sizes in one pass: stack distances (Mattson et al., 1970).

An access hits in an LRU cache of ``size`` entries if fewer than ``size`` *other* keys were
accessed since the last access to its key; that number is its stack distance.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from perflab.cache.policies.outcome import Outcome

Codes = NDArray[np.int64]

_BLOCK: Final = 1 << 17
"""Accesses worked on at once: the arrays of one block fit into a processor's cache."""


class LruCurve:
    """The hits of LRU at every size, from accesses fed in pieces.

    Memory grows with the number of keys, not of accesses: a piece is preceded by all keys known
    so far in the order of their last access, which is all that a stack distance depends on.
    """

    def __init__(self) -> None:
        self._order: Codes = np.empty(0, dtype=np.int64)
        self._histogram: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._accesses = 0

    def feed(self, codes: Codes) -> None:
        """More accesses, in order; equal codes mean the same key."""
        for start in range(0, len(codes), _BLOCK):
            self._feed_block(codes[start : start + _BLOCK])

    def outcome(self, size: int) -> Outcome:
        """What a cache of ``size`` entries did with the accesses so far."""
        hits = int(self._histogram[:size].sum())
        evictions = max(0, self._accesses - hits - size)
        return Outcome("lru", size, self._accesses, hits, expired=0, evictions=evictions)

    def _feed_block(self, codes: Codes) -> None:
        known = len(self._order)
        distances, last = _distances(np.concatenate([self._order, codes]), known)
        counts = np.bincount(distances, minlength=len(self._histogram))
        counts[: len(self._histogram)] += self._histogram
        self._histogram = counts
        self._order = last
        self._accesses += len(codes)


def stack_distances(codes: Codes) -> Codes:
    """The stack distances of all accesses but those to a key that is new, in order."""
    return _distances(codes, 0)[0]


def _distances(sequence: Codes, skipped: int) -> tuple[Codes, Codes]:
    """Stack distances from position ``skipped`` on, where keys were seen before; and the keys
    of the whole sequence in the order of their last access."""
    by_key = np.argsort(sequence, kind="stable")
    ordered = sequence[by_key]
    same = ordered[1:] == ordered[:-1]
    previous = np.full(len(sequence), -1, dtype=np.int64)
    previous[by_key[1:][same]] = by_key[:-1][same]
    is_last = np.ones(len(sequence), dtype=bool)
    is_last[by_key[:-1][same]] = False

    at = skipped + np.flatnonzero(previous[skipped:] >= 0)
    before = previous[at]
    # Of the accesses in between, count each key once: leave out those whose own predecessor
    # lies in between too. These are the earlier ones with a later predecessor.
    distances = at - before - 1 - _greater_before(before)
    return distances, sequence[is_last]


def _greater_before(values: Codes) -> Codes:
    """For each of some distinct numbers, how many greater ones stand before it.

    A radix sort from the highest bit: within a group of equal higher bits, a number with a
    zero bit stands behind as many greater ones as bits were one before it. O(n log n), with
    nothing but whole-array operations.
    """
    count = len(values)
    bits = max(1, (count - 1).bit_length())
    ranks = np.arange(1 << bits, dtype=np.int32)  # padded so that groups have equal sizes
    ranks[:count][np.argsort(values)] = np.arange(count, dtype=np.int32)
    inversions = np.zeros(1 << bits, dtype=np.int32)
    numbers = ranks
    for bit in reversed(range(bits)):
        groups = numbers.reshape(-1, 2 << bit)
        ones = (groups >> bit & 1).astype(bool)
        seen = np.cumsum(ones, axis=1, dtype=np.int32)
        zeros = ~ones
        lower, upper = groups[zeros], groups[ones]
        inversions[lower] += seen[zeros]
        numbers = np.concatenate([lower.reshape(-1, 1 << bit), upper.reshape(-1, 1 << bit)], axis=1)
    return inversions[ranks[:count]].astype(np.int64)
