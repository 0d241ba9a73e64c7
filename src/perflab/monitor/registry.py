"""The registry of metrics: parts of a process are asked for their figures when it is scraped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec
from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from perflab.arguments import check_hook
from perflab.monitor.declarations import Shape
from perflab.monitor.errors import MonitorError
from perflab.monitor.names import check_metric, label_value
from perflab.monitor.plan import Family, Plan, Sample, check_same, make_plan
from perflab.monitor.shapes import known_shape

Stats = Callable[[], msgspec.Struct]

_LOG: Final = logging.getLogger(__name__)


class _Source(msgspec.Struct):
    """One registered ``stats()``."""

    name: str
    labels: tuple[tuple[str, str], ...]
    stats: Stats
    plan: Plan
    failures: int = 0
    failing: bool = False

    def __str__(self) -> str:
        told = ",".join(f"{name}={value}" for name, value in self.labels)
        return f"{self.name}{{{told}}}" if told else self.name


class MetricsRegistry:
    """Turns the snapshots of a process's parts into metrics for Prometheus.

    >>> registry = MetricsRegistry()
    >>> registry.register("cache_memory", tier.stats)
    >>> registry.register("pool", pool.stats, labels={"pool": "reads"})
    >>> body, content_type = registry.render(request.headers.get("accept"))

    ``MemoryStats.hits`` of the first becomes ``perflab_cache_memory_hits_total``. Durations are
    given in seconds, whatever unit a field has.

    A part whose ``stats()`` fails, or gives something else than before, has no samples in that
    scrape, is counted in ``perflab_monitor_failures_total`` and logged when it begins to fail;
    everything else is there as ever. A ``stats()`` that does not return holds the scrape up.

    May be used from several threads, as far as the parts' ``stats()`` may.

    Args:
        namespace: what all names begin with.
        process: also tell what the operating system and Python know of this process
            (``process_*``, ``python_*``; Linux only in part).
    """

    def __init__(self, namespace: str = "perflab", *, process: bool = True) -> None:
        self._namespace = check_metric(namespace)
        self._sources: dict[tuple[str, tuple[tuple[str, str], ...]], _Source] = {}
        self._owners: dict[str, str] = {}
        self._lock = threading.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(_Snapshots(self._collect))
        if process:
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
            GCCollector(registry=self._registry)

    def register(
        self,
        name: str,
        stats: Stats,
        *,
        labels: Mapping[str, str] | None = None,
        shape: Shape | None = None,
    ) -> None:
        """Tell the figures of ``stats()`` from now on. It is called once, to see what it gives.

        Args:
            name: follows the namespace in the names of the metrics.
            stats: gives a snapshot: a Struct of numbers and of further Structs.
            labels: what each sample bears; they tell parts with one name apart, which have the
                same names of labels then.
            shape: which fields are counters and which are gauges; needed for Structs that are
                not the package's own.

        Raises:
            MonitorError: names what cannot be registered and why.
        """
        told = tuple(sorted((key, label_value(value)) for key, value in (labels or {}).items()))
        check_hook(f"stats of {name}", stats, MonitorError)
        try:
            struct = type(stats())
        except Exception as error:
            raise MonitorError(
                f"{name}: stats() fails, so it is not registered: {error!r}"
            ) from error
        if not issubclass(struct, msgspec.Struct):
            raise MonitorError(f"{name}: stats() gives {struct.__name__}, not a msgspec.Struct")
        found = known_shape(struct) if shape is None else shape
        if found is None:
            raise MonitorError(
                f"{name}: nothing says which fields of {struct.__name__} are counters; pass shape="
            )
        plan = make_plan(struct, found, f"{self._namespace}_{check_metric(name)}", told)
        source = _Source(name, told, stats, plan)
        with self._lock:
            self._check_beside_others(source)
            self._sources[name, told] = source
            self._owners |= dict.fromkeys(plan.families, name)

    def unregister(self, name: str, *, labels: Mapping[str, str] | None = None) -> None:
        """Tell nothing more of it; a MonitorError if it is not registered."""
        told = tuple(sorted((key, label_value(value)) for key, value in (labels or {}).items()))
        with self._lock:
            if self._sources.pop((name, told), None) is None:
                raise MonitorError(f"{name} with labels {dict(told)} is not registered")
            left = {family for one in self._sources.values() for family in one.plan.families}
            self._owners = {family: own for family, own in self._owners.items() if family in left}

    def render(self, accept: str | None = None) -> tuple[bytes, str]:
        """The figures now and their ``Content-Type``.

        Args:
            accept: the request's ``Accept``: OpenMetrics where it asks for that, else
                Prometheus' text format.
        """
        try:
            encode, content_type = choose_encoder(accept or "")
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type

    def _check_beside_others(self, source: _Source) -> None:
        if (source.name, source.labels) in self._sources:
            raise MonitorError(f"{source} is registered already; tell the two apart by labels")
        for family in source.plan.families.values():
            owner = self._owners.get(family.name, source.name)
            if owner != source.name or family.name.startswith(f"{self._namespace}_monitor_"):
                raise MonitorError(f"{source}: {family.name} is a metric of {owner} already")
            for other in self._sources.values():
                if family.name in other.plan.families:
                    check_same(other.plan.families[family.name], family)

    def _collect(self) -> Iterator[Metric]:
        with self._lock:
            sources = tuple(self._sources.values())
        families: dict[str, Metric] = {}
        for source in sources:
            for family in source.plan.families.values():
                families.setdefault(family.name, _metric(family))
            for name, suffix, labels, value in _samples(source):
                families[name].add_sample(name + suffix, dict(labels), value)
        yield from families.values()
        failures = CounterMetricFamily(
            f"{self._namespace}_monitor_failures",
            "Scrapes in which a part could not tell its figures.",
            labels=["source"],
        )
        for source in sources:
            failures.add_metric([str(source)], source.failures)
        yield failures


class _Snapshots(Collector):
    """The client library's view of the registered parts."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        return ()


def _samples(source: _Source) -> list[Sample]:
    try:
        found = source.plan.samples(source.stats())
    except Exception as error:  # noqa: BLE001 - whatever a part does, the others are scraped
        source.failures += 1
        if not source.failing:
            _LOG.warning("%s cannot tell its figures: %r", source, error)
        source.failing = True
        return []
    source.failing = False
    return found


def _metric(family: Family) -> Metric:
    return Metric(family.name, family.help, family.kind, family.unit)
