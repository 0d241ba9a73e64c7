"""Real snapshots of the package's parts, rendered and read back by Prometheus' own parsers."""

from __future__ import annotations

import asyncio
import importlib
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from perflab.cache import Ledger, MemoryTier, TieredCache
from perflab.cache.entry import Entry, Invalidation
from perflab.cache.policy import CachePolicy
from perflab.histogram import Histogram
from perflab.monitor import MetricsRegistry
from perflab.monitor.plan import make_plan
from perflab.monitor.shapes import _SHAPES, known_shape

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def figures(registry: MetricsRegistry, accept: str | None = None) -> Figures:
    body, content_type = registry.render(accept)
    is_open = content_type.startswith("application/openmetrics-text")
    parse: Callable[[str], Any] = text_string_to_metric_families
    if is_open:
        parse = openmetrics.text_string_to_metric_families
    found: Figures = {}
    for family in parse(body.decode()):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, f"{sample.name} once"
            found[key] = sample.value
    return found


def figure(found: Figures, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def entry(value: object) -> Entry:
    return Entry(value, 0.0, math.inf, math.inf)


def used_tier() -> MemoryTier:
    tier = MemoryTier(2, ttl_s=60, max_bytes=10_000)
    for key in "abc":
        tier.set(key, entry(b"x" * 100))
    tier.get("c")
    tier.get("c")
    tier.get("nothing")
    tier.invalidate(Invalidation(keys=("c",)))
    return tier


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_memory_tier(accept: str | None) -> None:
    registry = MetricsRegistry(process=False)
    tier = used_tier()
    registry.register("cache_memory", tier.stats, labels={"tier": "profiles"})
    found, stats = figures(registry, accept), tier.stats()
    for name in ("hits", "misses", "expired", "evictions", "invalidated", "refused"):
        value = figure(found, f"perflab_cache_memory_{name}_total", tier="profiles")
        assert value == getattr(stats, name), name
    assert (stats.hits, stats.misses, stats.evictions, stats.invalidated) == (2, 1, 1, 1)
    for name in ("entries", "size_bytes"):
        value = figure(found, f"perflab_cache_memory_{name}", tier="profiles")
        assert value == getattr(stats, name) > 0
    tier.get("nothing")
    later = figures(registry, accept)
    assert figure(later, "perflab_cache_memory_misses_total", tier="profiles") == 2


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_ledger_of_a_cache_adds_up_as_the_ledger_does(accept: str | None) -> None:
    async def used() -> Ledger:
        async with TieredCache(MemoryTier(ttl_s=60)) as cache:
            for policy in ("profiles", "tasks"):
                for key in "aab":
                    await cache.get_or_load(
                        f"{policy}:{key}", lambda: 1, CachePolicy(name=policy, ttl_s=60)
                    )
            return cache.ledger

    ledger = asyncio.run(used())
    ledger.enter_edge("tasks", "hit", size_bytes=70)
    registry = MetricsRegistry(process=False)
    registry.register("cache", ledger.stats)
    found, stats = figures(registry, accept), ledger.stats()
    for policy in stats.policies:
        for tier in ("edge", "memory", "redis", "loader"):
            part = policy.tier(tier)
            for name in part.__struct_fields__:
                metric = f"perflab_cache_{name}_total"
                value = figure(found, metric, policy=policy.policy, tier=tier)
                assert value == pytest.approx(getattr(part, name)), (metric, tier)
        refreshes = "perflab_cache_background_refreshes_total"
        assert figure(found, refreshes, policy=policy.policy) == policy.background.refreshes
    summed = sum(
        value
        for (name, labels), value in found.items()
        if name == "perflab_cache_hits_total" and ("tier", "memory") in labels
    )
    assert summed == stats.total.memory.hits == 2
    assert figure(found, "perflab_cache_bytes_total", policy="tasks", tier="edge") == 70
    assert not any(("policy", "all") in labels for _, labels in found)


def test_policies_appear_when_they_are_used() -> None:
    registry, ledger = MetricsRegistry(process=False), Ledger()
    registry.register("cache", ledger.stats)
    assert not any(name == "perflab_cache_hits_total" for name, _ in figures(registry))
    ledger.enter_edge("tasks", "hit")
    found = figures(registry)
    assert figure(found, "perflab_cache_hits_total", policy="tasks", tier="edge") == 1


def test_durations_become_seconds() -> None:
    from perflab.database.pool import PoolStats

    stats = PoolStats(4, 3, 0, 10, 2, 1500, 2500, 0, 0, 0, 0, Histogram().snapshot())
    registry = MetricsRegistry(process=False)
    registry.register("pool", lambda: stats)
    found = figures(registry, OPENMETRICS)
    assert figure(found, "perflab_pool_wait_seconds_total") == 1.5
    assert figure(found, "perflab_pool_usage_seconds_total") == 2.5
    assert figure(found, "perflab_pool_size") == 4
    assert b"# UNIT perflab_pool_wait_seconds seconds" in registry.render(OPENMETRICS)[0]


def test_help_is_the_fields_documentation() -> None:
    registry = MetricsRegistry(process=False)
    registry.register("cache_memory", used_tier().stats)
    text = registry.render()[0].decode()
    lookups = "# HELP perflab_cache_memory_misses_total Lookups without an answer, the expired ones"
    assert lookups in text
    assert "# HELP perflab_cache_memory_hits_total Hits.\n" in text
    assert "# TYPE perflab_cache_memory_hits_total counter\n" in text
    assert "# TYPE perflab_cache_memory_entries gauge\n" in text


@pytest.mark.parametrize("name", sorted(_SHAPES))
def test_shapes_fit_the_structs_as_they_are(name: str) -> None:
    module, _, struct_name = name.rpartition(".")
    struct = getattr(importlib.import_module(module), struct_name)
    shape = known_shape(struct)
    assert shape is not None
    plan = make_plan(struct, shape, "perflab_x", ())
    assert plan.families


def test_no_snapshot_of_the_package_lacks_a_shape() -> None:
    """Every ``stats()`` of a public class can be registered as it is."""
    import perflab.api.responses as responses
    import perflab.cache as cache
    import perflab.cache.edge as edge
    import perflab.ratelimit as ratelimit
    from perflab.database import pool

    for package in (cache, edge, ratelimit, responses, pool):
        for value in vars(package).values():
            stats = getattr(value, "stats", None) if isinstance(value, type) else None
            if stats is None:
                continue
            returns = stats.__annotations__["return"]
            struct = getattr(importlib.import_module(value.__module__), returns, None)
            if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
                assert known_shape(struct) is not None, struct
