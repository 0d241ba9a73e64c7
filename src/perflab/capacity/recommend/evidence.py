"""What advice may rest on: measured figures only, None where one was not measured."""

from __future__ import annotations

from dataclasses import dataclass

from perflab.capacity.scalability import NotFitted, Scalability
from perflab.measure.statistics import Interval


@dataclass(frozen=True)
class Shares:
    """CPU time by process, as shares of one core, at the highest load that held the promise."""

    server: float
    postgres: float
    redis: float

    @property
    def total(self) -> float:
        """Of all three."""
        return self.server + self.postgres + self.redis

    def of_work(self, one: float) -> float:
        """A process's part of what all three did."""
        return one / self.total if self.total else 0.0


@dataclass(frozen=True)
class Cached:
    """The cache at work, and the same load without it."""

    hit_ratio: float
    """Of the lookups, 0 to 1."""
    with_rps: float
    """The most that a core answered with the cache,"""
    without_rps: float
    """and without it."""


@dataclass(frozen=True)
class Pooled:
    """The connection pool at the highest load that held."""

    size: int
    waited: float
    """The share of the checkouts that found no free connection, 0 to 1."""
    wait_ms: float
    """Mean wait of those that waited."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One study's figures."""

    needed_rps: float
    """What the people to be served ask for in the busiest hour."""
    core_rps: Interval
    """What a core holds within the promise: the highest step that held, up to the first that
    did not."""
    p95_ms: float
    """At that step."""
    promised_ms: float
    shares: Shares | None = None
    scalability: Scalability | NotFitted | None = None
    cached: Cached | None = None
    pooled: Pooled | None = None
    lag_ms: float | None = None
    """How late the server's event loop was on average, at the highest load."""
    generator: float | None = None
    """The busy share of the load generator at that step."""
