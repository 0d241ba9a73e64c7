"""Metrics for Prometheus out of the ``stats()`` snapshots of a process's parts.

Whoever assembles a process registers them; the parts know nothing of it.
"""

from __future__ import annotations

from perflab.monitor.declarations import (
    Counter,
    Declaration,
    Distribution,
    Each,
    Gauge,
    Keyed,
    LeftOut,
    Part,
    Shape,
    counters,
    distributions,
    gauges,
)
from perflab.monitor.endpoint import MetricsEndpoint, served_from_thread
from perflab.monitor.errors import MonitorError
from perflab.monitor.lag import LagStats, LoopLag
from perflab.monitor.registry import MetricsRegistry
from perflab.monitor.requests import RequestCounts, RequestsMiddleware, RequestStats

__all__ = [
    "Counter",
    "Declaration",
    "Distribution",
    "Each",
    "Gauge",
    "Keyed",
    "LagStats",
    "LeftOut",
    "LoopLag",
    "MetricsEndpoint",
    "MetricsRegistry",
    "MonitorError",
    "Part",
    "RequestCounts",
    "RequestStats",
    "RequestsMiddleware",
    "Shape",
    "counters",
    "distributions",
    "gauges",
    "served_from_thread",
]
