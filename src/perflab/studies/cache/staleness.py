"""A fixed time to live, one derived from the writes seen, and purges: what "intelligent" can mean.

In virtual time: hours of reads and writes pass in a second. The writes are assumed, and the
same reads meet the same writes under every rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from perflab.cache import QUERY
from perflab.studies.cache.driving import poisson_s
from perflab.studies.cache.workload import Codes, Floats, Workload

READ_RPS: Final = 10.0
"""Slow enough for the reads of a run to last longer than most keys go unchanged."""
FIXED_S: Final = QUERY.ttl_s
SHORTEST_S: Final = 1.0
LONGEST_S: Final = 3_600.0
WRITE_MEDIAN_S: Final = 1_800.0
"""The median key is written so often on average; assumed."""
WRITE_SIGMA: Final = 2.0
"""Of the logarithm of a key's write rate: some change every few seconds, others once a month."""

_SHARES: Final = (0.002, 20.0)
_HALVINGS: Final = 8


@dataclass(frozen=True)
class Outcome:
    """What one rule did with the reads."""

    hit_ratio: float
    stale_ratio: float
    """Of all reads: answered with a value that had been overwritten by then."""
    oldest_s: float
    """The longest time that an overwritten value was still served."""


def measure_staleness(
    workload: Workload, requests: int, rate_rps: float, seed: int
) -> pd.DataFrame:
    """One row a rule.

    ``fixed``: five minutes for all keys. ``derived``: a share of the mean time between the writes
    of that key which the cache has seen so far, within one second and one hour; the share is the
    one at which as many answers are stale as under ``fixed``, and once more the one at which as
    many are hits. ``purged``: an hour, and each write purges its key, as the query cache does.
    """
    codes = workload.first(requests)
    at_s = poisson_s(len(codes), rate_rps, seed)
    events = _events(codes, at_s, seed)
    fixed = _replay(events, lambda _seen: FIXED_S, purge=False)
    as_stale = _largest(events, lambda o: o.stale_ratio <= fixed.stale_ratio)
    as_hit = _largest(events, lambda o: o.hit_ratio <= fixed.hit_ratio)
    rows = [
        ("fixed 5 minutes", fixed),
        ("derived from writes, as stale as fixed", as_stale),
        ("derived from writes, as many hits as fixed", as_hit),
        ("an hour, purged by writes", _replay(events, lambda _seen: LONGEST_S, purge=True)),
    ]
    return pd.DataFrame(
        [
            {
                "rule": rule,
                "hit_percent": 100 * outcome.hit_ratio,
                "stale_percent": 100 * outcome.stale_ratio,
                "oldest_s": outcome.oldest_s,
            }
            for rule, outcome in rows
        ]
    )


def _largest(events: _Events, fits: Callable[[Outcome], bool]) -> Outcome:
    """The rule ``derived`` with the largest share that fits: both ratios grow with the share."""
    low, high = _SHARES
    found = _replay(events, _derived(low), purge=False)
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        tried = _replay(events, _derived(middle), purge=False)
        if fits(tried):
            low, found = middle, tried
        else:
            high = middle
    return found


class _Events(NamedTuple):
    """Reads and writes in order of time."""

    keys: list[int]
    at_s: list[float]
    is_write: list[bool]


class _Seen(NamedTuple):
    """What a cache knows of a key's writes."""

    writes: int
    watched_s: float


def _events(codes: Codes, at_s: Floats, seed: int) -> _Events:
    """The reads, and each key's writes at random moments of its own rate."""
    rng = np.random.default_rng([seed, 19])
    keys = int(codes.max()) + 1
    until_s = float(at_s[-1])
    rates = rng.lognormal(-np.log(WRITE_MEDIAN_S), WRITE_SIGMA, keys)
    counts = rng.poisson(np.minimum(rates, 1 / SHORTEST_S) * until_s)
    written = np.repeat(np.arange(keys), counts)
    moments = rng.uniform(0, until_s, len(written))
    order = np.argsort(np.concatenate([at_s, moments]), kind="stable")
    return _Events(
        np.concatenate([codes, written])[order].tolist(),
        np.concatenate([at_s, moments])[order].tolist(),
        (order >= len(codes)).tolist(),
    )


def _derived(share: float) -> Callable[[_Seen], float]:
    """A share of the mean time between writes; before the first write, of the time watched."""

    def ttl_s(seen: _Seen) -> float:
        mean_s = seen.watched_s / max(1, seen.writes)
        return min(LONGEST_S, max(SHORTEST_S, share * mean_s))

    return ttl_s


def _replay(events: _Events, ttl_s: Callable[[_Seen], float], *, purge: bool) -> Outcome:
    """All events under a rule that gives each entry its time to live when it is loaded.

    The first TTL passes uncounted; a run that ends before that has no figures (NaN). Writes are
    seen from the start on, as a cache that is told of them sees them, also of keys that it does
    not hold.
    """
    expires: dict[int, float] = {}
    overwritten: dict[int, float] = {}
    writes: dict[int, int] = {}
    reads = hits = stale = 0
    oldest = 0.0
    for key, now, is_write in zip(*events, strict=True):
        if is_write:
            writes[key] = writes.get(key, 0) + 1
            if purge:
                expires.pop(key, None)
            elif key in expires:
                overwritten.setdefault(key, now)
            continue
        counted = now >= FIXED_S
        reads += counted
        if expires.get(key, 0.0) > now:
            hits += counted
            since = overwritten.get(key)
            if since is not None and counted:
                stale += 1
                oldest = max(oldest, now - since)
        else:
            expires[key] = now + ttl_s(_Seen(writes.get(key, 0), now))
            overwritten.pop(key, None)
    if not reads:
        return Outcome(math.nan, math.nan, math.nan)
    return Outcome(hits / reads, stale / reads, oldest)
