"""Where the time of a load went: CPU by process, event loop, pool, cache, stores, generator."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from perflab.capacity.recommend import Pooled, Shares
from perflab.load import Request
from perflab.studies.api.caller import Caller
from perflab.studies.api.ceiling import POSTGRES, REDIS, SERVER, Reading, Served
from perflab.studies.api.site import StudyError
from perflab.studies.capacity.stores import UNKNOWN, Stores, StoreTimes

FULL_CORE: Final = 0.90
"""A core that is used so far is what holds the load up,"""
MANY_WAIT: Final = 0.05
"""and a pool in which so many checkouts wait; both may be true."""
LATE_MS: Final = 10.0
"""An event loop that is so late on a core with room is kept by somebody."""
PATIENT_S: Final = 60.0
"""How long a server may take to tell its counters after a load: one that was overrun has requests
in line whose clients have given up."""
_METRICS: Final = Request("GET", "/metrics")

_WANTED: Final = (
    "perflab_cache_hits",
    "perflab_pool_requests",
    "perflab_pool_queued",
    "perflab_pool_wait_seconds",
    "perflab_loop_lag_seconds_count",
    "perflab_loop_lag_seconds_sum",
)
"""What lines of the metrics begin with that are read here."""

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
    ticks: float = 0.0
    """Callbacks that the event loop was watched by,"""
    late_s: float = 0.0
    """and how late they were in all."""

    def __sub__(self, other: Counts) -> Counts:
        return Counts(
            self.lookups - other.lookups,
            self.hits - other.hits,
            self.checkouts - other.checkouts,
            self.queued - other.queued,
            self.wait_s - other.wait_s,
            self.ticks - other.ticks,
            self.late_s - other.late_s,
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
    stores: StoreTimes = UNKNOWN
    """While the load went on."""
    answers: int = 0

    @property
    def lag_ms(self) -> float:
        """How late the server's event loop was on average; NaN where nobody looked."""
        counts = self.counts
        return 1e3 * counts.late_s / counts.ticks if counts.ticks else float("nan")

    @property
    def postgres_ms(self) -> float:
        """In statements, of one answer; NaN where PostgreSQL does not tell."""
        return 1e3 * self.stores.postgres_s / max(1, self.answers)

    @property
    def redis_ms(self) -> float:
        """In commands, of one answer; NaN where Redis does not tell."""
        return 1e3 * self.stores.redis_s / max(1, self.answers)

    @property
    def pool_ms(self) -> float:
        """Waited for a connection, of one answer."""
        return 1e3 * self.counts.wait_s / max(1, self.answers)

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
        elif self.lag_ms >= LATE_MS:
            found.append(f"the server's event loop, {self.lag_ms:.0f} ms late")
        if self.waited >= MANY_WAIT:
            found.append("the pool")
        return " and ".join(found) or "nothing yet"


def held_up_by(found: Sequence[Attribution]) -> str:
    """What most of several loads were held up by."""
    told = [one.bottleneck for one in found]
    return max(told, key=told.count, default="")


class Loaded(Protocol):
    """What a load is put on: an ``Arm`` is one."""

    @property
    def served(self) -> Served:
        """The server."""

    @property
    def stores(self) -> Stores:
        """What it keeps its data in."""


def attributed(
    arm: Loaded, load: Callable[[], T], reading: Callable[[T], Reading]
) -> tuple[T, Attribution]:
    """Put a load on and say where its time went."""
    counts_before, stores_before = counts_of(arm.served), arm.stores.read()
    outcome = load()
    stores = arm.stores.read() - stores_before
    counts = _counts_after(arm.served) - counts_before
    read = reading(outcome)
    samples = read.samples
    # the processes work until the last answer, also those to requests of the window's end
    span_s = max(samples.window_s, float(np.nanmax(samples.ended_s)) if len(samples) else 0.0)
    cpu = {who: seconds / span_s for who, seconds in read.cpu_s.items()}
    return outcome, Attribution(
        shares=Shares(cpu[SERVER], cpu[POSTGRES], cpu[REDIS]),
        generator=samples.busy_share,
        counts=counts,
        void=read.void,
        stores=stores,
        answers=int(np.count_nonzero(samples.answered)),
    )


def parts_of(found: Sequence[Attribution]) -> dict[str, float]:
    """Where the time went, on average over several loads: the columns that every table shows."""

    def mean(each: Callable[[Attribution], float]) -> float:
        values = np.array([each(one) for one in found])
        told = values[np.isfinite(values)]
        return float(told.mean()) if len(told) else float("nan")

    return {
        "server": mean(lambda one: one.shares.server),
        "postgres": mean(lambda one: one.shares.postgres),
        "redis": mean(lambda one: one.shares.redis),
        "generator": mean(lambda one: one.generator),
        "lag_ms": mean(lambda one: one.lag_ms),
        "postgres_ms": mean(lambda one: one.postgres_ms),
        "redis_ms": mean(lambda one: one.redis_ms),
        "pool_ms": mean(lambda one: one.pool_ms),
        "hit_ratio": mean(lambda one: one.hit_ratio),
        "waited": mean(lambda one: one.waited),
    }


def counts_of(served: Served) -> Counts:
    """The server's counters now; a StudyError where it does not tell them."""
    with Caller(served.port) as caller:
        answer = caller.ask(_METRICS)
    if answer.status != 200:
        raise StudyError(f"/metrics was answered {answer.status}")
    return read_counts(answer.body.decode())


def _counts_after(served: Served) -> Counts:
    """The counters, as soon as the server tells them; a StudyError where it does not at all."""
    ends = time.monotonic() + PATIENT_S
    while True:
        try:
            return counts_of(served)
        except (StudyError, OSError):
            if time.monotonic() > ends:
                raise
            served.settle()


def read_counts(text: str) -> Counts:
    """Counters out of Prometheus's text format."""
    sums: dict[tuple[str, str], float] = {}
    # the whole text takes longer to parse than some loads leave between them
    wanted = "\n".join(line for line in text.splitlines() if line.startswith(_WANTED))
    for family in text_string_to_metric_families(wanted):
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
        ticks=sums.get(("perflab_loop_lag_seconds_count", ""), 0.0),
        late_s=sums.get(("perflab_loop_lag_seconds_sum", ""), 0.0),
    )


def _tier(labels: Mapping[str, str]) -> str:
    return labels.get("tier", "")
