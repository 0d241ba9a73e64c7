"""Where the time of a load went: CPU by process, the cache, the pool, the generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from perflab.capacity.recommend import Pooled, Shares
from perflab.load import Request
from perflab.studies.api.caller import Caller
from perflab.studies.api.ceiling import POSTGRES, REDIS, SERVER, Reading, Served
from perflab.studies.api.site import StudyError

FULL_CORE: Final = 0.90
"""A core that is used so far is what holds the load up,"""
MANY_WAIT: Final = 0.05
"""and a pool in which so many checkouts wait; both may be true."""
_METRICS: Final = Request("GET", "/metrics")

T = TypeVar("T")


@dataclass(frozen=True)
class Counts:
    """The server's own counters, since it started."""

    lookups: float
    """In the cache,"""
    hits: float
    """and those that memory or Redis had the value for."""
    checkouts: float
    """Connections asked for,"""
    queued: float
    """those that had to be waited for,"""
    wait_s: float
    """and how long."""

    def __sub__(self, other: Counts) -> Counts:
        return Counts(
            self.lookups - other.lookups,
            self.hits - other.hits,
            self.checkouts - other.checkouts,
            self.queued - other.queued,
            self.wait_s - other.wait_s,
        )


@dataclass(frozen=True)
class Attribution:
    """One load."""

    shares: Shares
    """Of one core; 0 for servers whose processes cannot be seen."""
    generator: float
    """The busy share of the generator, of its own core."""
    counts: Counts
    void: str

    @property
    def hit_ratio(self) -> float:
        """Of the cache's lookups; NaN without any."""
        counts = self.counts
        return counts.hits / counts.lookups if counts.lookups else float("nan")

    @property
    def waited(self) -> float:
        """The share of the checkouts that found no free connection."""
        return self.counts.queued / self.counts.checkouts if self.counts.checkouts else 0.0

    def pooled(self, size: int) -> Pooled:
        """As evidence."""
        counts = self.counts
        wait_ms = 1e3 * counts.wait_s / counts.queued if counts.queued else 0.0
        return Pooled(size, self.waited, wait_ms)

    @property
    def bottleneck(self) -> str:
        """What held the load up, as far as the figures tell."""
        if self.void:
            return "the generator"
        found = []
        shares = self.shares
        if shares.total >= FULL_CORE:
            parts = {"the server": shares.server, "PostgreSQL": shares.postgres}
            parts["Redis"] = shares.redis
            most = max(parts, key=lambda name: parts[name])
            found.append(f"the core, mostly {most} ({shares.of_work(parts[most]):.0%})")
        if self.waited >= MANY_WAIT:
            found.append("the pool")
        return " and ".join(found) or "nothing yet"


def attributed(
    served: Served, load: Callable[[], T], reading: Callable[[T], Reading]
) -> tuple[T, Attribution]:
    """Put a load on and say where its time went."""
    before = counts_of(served)
    outcome = load()
    counts = counts_of(served) - before
    read = reading(outcome)
    samples = read.samples
    # the processes work until the last answer, also those to requests of the window's end
    span_s = max(samples.window_s, float(np.nanmax(samples.ended_s)) if len(samples) else 0.0)
    cpu = {who: seconds / span_s for who, seconds in read.cpu_s.items()}
    shares = Shares(cpu[SERVER], cpu[POSTGRES], cpu[REDIS])
    return outcome, Attribution(shares, samples.busy_share, counts, read.void)


def counts_of(served: Served) -> Counts:
    """The server's counters now; a StudyError where it does not tell them."""
    with Caller(served.port) as caller:
        answer = caller.ask(_METRICS)
    if answer.status != 200:
        raise StudyError(f"/metrics was answered {answer.status}")
    return read_counts(answer.body.decode())


def read_counts(text: str) -> Counts:
    """Counters out of Prometheus's text format."""
    sums: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, _tier(sample.labels)
            sums[key] = sums.get(key, 0.0) + sample.value

    def of(name: str, tier: str = "") -> float:
        return sums.get((f"perflab_{name}_total", tier), 0.0)

    hits = of("cache_hits", "memory") + of("cache_hits", "redis")
    return Counts(
        lookups=hits + of("cache_hits", "loader"),
        hits=hits,
        checkouts=of("pool_requests"),
        queued=of("pool_queued"),
        wait_s=of("pool_wait_seconds"),
    )


def _tier(labels: Mapping[str, str]) -> str:
    return labels.get("tier", "")
