"""What the panel shows of watched processes: a few figures over the last second or so."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

from perflab.monitor.alerts import Target
from perflab.monitor.alerts.evaluation import evaluate
from perflab.monitor.alerts.expressions import (
    Expression,
    Quantile,
    Rate,
    Ratio,
    Seconds,
    Selector,
    Value,
    metrics_of,
)
from perflab.monitor.alerts.series import Sample, Store, labels_of

_WINDOW_MS: Final = 1_000
_LAST: Final = Seconds(lab=_WINDOW_MS / 1e3, production=60)


class Figure(NamedTuple):
    """One line of the panel."""

    job: str
    """The kind of process that tells it."""
    title: str
    unit: str
    scale: float
    """What a value is multiplied by to be in that unit."""
    when: Expression


API: Final = "api"
LOAD: Final = "load"

FIGURES: Final = (
    Figure(API, "answers of the API", "1/s", 1.0,
           Rate(metric="perflab_http_requests_total", window_s=_LAST)),
    Figure(LOAD, "latency of the load, p95", "ms", 1e3,
           Quantile(metric="perflab_load_latency_seconds", quantile=0.95, window_s=_LAST)),
    Figure(LOAD, "requests under way", "", 1.0, Value(metric="perflab_load_in_flight")),
    Figure(API, "answers that came from a cache", "%", 100.0,
           Ratio(metric="perflab_cache_hits_total", matching={"tier": "memory|redis"},
                 of=Selector(metric="perflab_cache_hits_total"), window_s=_LAST)),
    Figure(API, "wait for a database connection, p95", "ms", 1e3,
           Quantile(metric="perflab_pool_acquire_seconds", quantile=0.95, window_s=_LAST)),
    Figure(API, "lag of the API's event loop, p95", "ms", 1e3,
           Quantile(metric="perflab_loop_lag_seconds", quantile=0.95, window_s=_LAST)),
)  # fmt: skip


class Point(NamedTuple):
    """A figure at a moment."""

    at_s: float
    """Unix time."""
    value: float
    """NaN where nothing was told."""


class History:
    """The figures so far; entered from one thread, read from others.

    ``enter`` is what a ``Watch`` wants as its ``look``.
    """

    def __init__(self, figures: Sequence[Figure] = FIGURES) -> None:
        metrics = {name for figure in figures for name in metrics_of(figure.when)}
        self._store = Store(metrics, 2 * _WINDOW_MS)
        self._lock = threading.Lock()
        self._points: list[tuple[Figure, list[Point]]] = [(figure, []) for figure in figures]

    def enter(self, at_s: float, target: Target, samples: list[Sample] | None) -> None:
        """A scrape: the figures of its process are worked out anew."""
        own = {"job": target.job, "instance": target.instance}
        told = [
            Sample(one.metric, labels_of({**dict(one.labels), **own}), one.value)
            for one in samples or ()
        ]
        at_ms = round(at_s * 1e3)
        with self._lock:
            self._store.enter(target.job, at_ms, told)
            for figure, points in self._points:
                if figure.job == target.job:
                    found = evaluate(figure.when, ">", self._store, at_ms, _WINDOW_MS)
                    value = next(iter(found.values()), math.nan) * figure.scale
                    points.append(Point(at_s, value))

    def rows(self) -> list[tuple[Figure, list[Point]]]:
        """Each figure with its values so far."""
        with self._lock:
            return [(figure, list(points)) for figure, points in self._points]
