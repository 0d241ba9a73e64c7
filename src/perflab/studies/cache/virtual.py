"""The same rules without waiting: hours of requests in virtual time, within a second or two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perflab.cache import Entry, MemoryTier
from perflab.studies.cache.workload import Codes, Floats

JITTER: Final = 0.1
"""By up to which share Redis shortens its times to live, as the tier does by default."""
MEMORY, REDIS, LOADED = 0, 1, 2
"""Who answered a request."""


@dataclass(frozen=True)
class Answers:
    """Who answered each request."""

    by: NDArray[np.int8]
    at_s: Floats

    def after(self, start_s: float) -> Answers:
        """The requests from ``start_s`` on."""
        kept = self.at_s >= start_s
        return Answers(self.by[kept], self.at_s[kept])

    @property
    def memory_ratio(self) -> float:
        """Memory's hits of all requests."""
        return float(np.mean(self.by == MEMORY))

    @property
    def redis_ratio(self) -> float:
        """Redis' hits of the requests that memory did not answer."""
        reached = int(np.sum(self.by != MEMORY))
        return int(np.sum(self.by == REDIS)) / reached if reached else float("nan")

    @property
    def combined_ratio(self) -> float:
        """Hits of any tier, of all requests."""
        return float(np.mean(self.by != LOADED))


def replay(
    codes: Codes,
    at_s: Floats,
    *,
    ttl_s: float,
    memory_ttl_s: float,
    memory_entries: int = 1000,
    seed: int = 0,
) -> Answers:
    """Requests at these moments through the memory tier's own code and a Redis that holds all.

    ``at_s`` must not fall. Loads take no time.
    """
    now = 0.0

    def clock() -> float:
        return now

    memory = MemoryTier(memory_entries, memory_ttl_s, clock=clock, wall=clock)
    get, put = memory.get, memory.set
    stored: dict[int, float] = {}
    spreads = iter(np.random.default_rng([seed, 7]).uniform(1 - JITTER, 1, len(codes)))
    by = np.empty(len(codes), dtype=np.int8)
    names = [str(code) for code in range(int(codes.max()) + 1)]
    for position, (code, now) in enumerate(zip(codes.tolist(), at_s.tolist(), strict=True)):
        name = names[code]
        if get(name) is not None:
            by[position] = MEMORY
            continue
        expires_at = stored.get(code, 0.0)
        if expires_at > now:
            by[position] = REDIS
        else:
            by[position] = LOADED
            expires_at = stored[code] = now + ttl_s * next(spreads)
        put(name, Entry(None, now, expires_at, expires_at))
    return Answers(by, at_s)
