"""The figures of a WebSocket run, and of one of its seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from perflab.load.scenarios.figures import Times

ERROR_KINDS: Final = ("connect", "lost", "publish")
"""connect: a connection that was never subscribed. lost: one that broke off, each time. publish: a
message that no hub took."""


class SocketFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to."""

    connections: int
    """Subscribed before the first message, and not lost until the last delivery."""
    opening_s: float
    """Until all were subscribed, or could not be."""
    published: int
    """Messages that a hub took."""
    expected: int
    """Deliveries: each of them once to each connection that listens to its channel."""
    delivered: int
    missing: int
    duplicates: int
    """Deliveries of what the same connection had been given before."""
    errors: dict[str, int]
    """By kind; kinds that did not occur are left out."""
    attempts: int
    """Connections and messages that could have failed."""
    published_per_s: float
    deliveries_per_s: float
    latency: Times
    """From when a message was due to each of its deliveries."""

    def value(self, metric: str) -> float:
        """One of ``METRICS``."""
        return METRICS[metric](self)

    @property
    def error_rate(self) -> float:
        """Errors as a share of the connections and messages; NaN without any."""
        return sum(self.errors.values()) / self.attempts if self.attempts else float("nan")


METRICS: Final[Mapping[str, Callable[[SocketFigures], float]]] = {
    "connections": lambda f: f.connections,
    "opening_s": lambda f: f.opening_s,
    "published": lambda f: f.published,
    "published_per_s": lambda f: f.published_per_s,
    "delivered": lambda f: f.delivered,
    "deliveries_per_s": lambda f: f.deliveries_per_s,
    "missing": lambda f: f.missing,
    "duplicates": lambda f: f.duplicates,
    "error_rate": lambda f: f.error_rate,
    "mean_ms": lambda f: f.latency.mean_ms,
    "p50_ms": lambda f: f.latency.p50_ms,
    "p90_ms": lambda f: f.latency.p90_ms,
    "p95_ms": lambda f: f.latency.p95_ms,
    "p99_ms": lambda f: f.latency.p99_ms,
    "max_ms": lambda f: f.latency.max_ms,
}
"""What conditions can be about."""


class SocketSecond(msgspec.Struct, frozen=True, kw_only=True):
    """One bin of a second: messages and latencies by when they were due, deliveries by when."""

    at_s: float
    due: int
    delivered: int
    p50_ms: float
    p95_ms: float
