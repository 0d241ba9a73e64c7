"""Belady's MIN (1966): the ceiling of every policy, since it knows the future."""

from __future__ import annotations

import heapq
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perflab.cache.policies.outcome import Outcome

Codes = NDArray[np.int64]

_SLICE: Final = 1 << 16


class Minimum:
    """Keeps the keys that are needed again soonest.

    A new key that is needed later than all keys held is not admitted at all, so that the
    figure is also a ceiling for policies with admission control.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def replay(self, codes: Codes) -> Outcome:
        """The best possible outcome over all accesses."""
        never = len(codes)
        following = next_accesses(codes)
        held: dict[int, int] = {}
        latest: list[tuple[int, int]] = []  # (-next access, key); some are out of date
        hits = evictions = 0
        for start in range(0, len(codes), _SLICE):
            part = slice(start, start + _SLICE)
            for key, needed in zip(codes[part].tolist(), following[part].tolist(), strict=True):
                if key in held:
                    hits += 1
                    if needed == never:
                        del held[key]  # nobody asks again: its place is free
                        continue
                elif needed == never:
                    continue
                elif len(held) >= self._size:
                    while held.get(latest[0][1]) != -latest[0][0]:
                        heapq.heappop(latest)
                    if -latest[0][0] <= needed:
                        continue
                    del held[heapq.heappop(latest)[1]]
                    evictions += 1
                held[key] = needed
                heapq.heappush(latest, (-needed, key))
            if len(latest) > 2 * len(held) + _SLICE:
                latest = [(-needed, key) for key, needed in held.items()]
                heapq.heapify(latest)
        return Outcome("min", self._size, len(codes), hits, 0, evictions)


def next_accesses(codes: Codes) -> Codes:
    """For each access the position of the next one to its key, or ``len(codes)`` for never."""
    following = np.full(len(codes), len(codes), dtype=np.int64)
    by_key = np.argsort(codes, kind="stable")
    ordered = codes[by_key]
    same = ordered[1:] == ordered[:-1]
    following[by_key[:-1][same]] = by_key[1:][same]
    return following
