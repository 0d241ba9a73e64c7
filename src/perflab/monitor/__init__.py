"""Metrics for Prometheus out of the ``stats()`` snapshots of a process's parts.

Whoever assembles a process registers them; the parts know nothing of it.
"""

from __future__ import annotations

from perflab.monitor.declarations import (
    Counter,
    Declaration,
    Each,
    Gauge,
    Keyed,
    LeftOut,
    Part,
    Shape,
    counters,
    gauges,
)
from perflab.monitor.errors import MonitorError
from perflab.monitor.registry import MetricsRegistry

__all__ = [
    "Counter",
    "Declaration",
    "Each",
    "Gauge",
    "Keyed",
    "LeftOut",
    "MetricsRegistry",
    "MonitorError",
    "Part",
    "Shape",
    "counters",
    "gauges",
]
