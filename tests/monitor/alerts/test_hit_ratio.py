"""The alert for a low hit ratio, on a real cache and its real figures; only the clock is not."""

from __future__ import annotations

import asyncio

from perflab.cache import MemoryTier, TieredCache
from perflab.cache.policy import CachePolicy
from perflab.monitor import MetricsRegistry
from perflab.monitor.alerts import AlertEngine, Transition, load_rules
from perflab.monitor.alerts.scraping import read_samples
from perflab.paths import data_dir

EVERY_S = 0.5
RULE = next(r for r in load_rules(data_dir() / "alerts.toml") if r.name == "CacheHitRatioLow")
POLICY = CachePolicy(name="tasks", ttl_s=3600, memory_ttl_s=3600)


def changes(*phases: tuple[float, int, int], entries: int) -> list[Transition]:
    """What is told of a memory tier with room for ``entries``, looked at twice a second.

    A phase is its seconds, the requests between two looks, and the keys that they go round.
    """

    async def scenario() -> list[Transition]:
        now_s, request = 0.0, 0
        engine, registry = AlertEngine([RULE], clock=lambda: now_s), MetricsRegistry(process=False)
        found: list[Transition] = []
        async with TieredCache(MemoryTier(entries, ttl_s=3600)) as cache:
            registry.register("cache", cache.ledger.stats)
            for seconds, requests, keys in phases:
                for _ in range(round(seconds / EVERY_S)):
                    now_s += EVERY_S
                    for _ in range(requests):
                        request += 1
                        await cache.get_or_load(f"tasks:{request % keys}", lambda: 1, POLICY)
                    text = registry.render()[0].decode()
                    engine.enter("api", "here", read_samples(text))
                    found += engine.evaluate()
        return found

    return asyncio.run(scenario())


def test_a_cache_that_only_starts_empty_raises_nothing() -> None:
    told = changes((60, 10, 100), entries=1_000)

    assert [change for change in told if change.after == "firing"] == []


def test_a_cache_with_too_little_room_is_told_until_fewer_keys_are_asked_for() -> None:
    told = changes((30, 10, 1_000), (30, 10, 5), entries=10)

    assert [one.after for one in told if one.after == "firing" or one.resolved] == [
        "firing", "inactive",
    ]  # fmt: skip


def test_a_cache_that_nobody_asks_any_more_raises_nothing() -> None:
    told = changes((2, 10, 1_000), (60, 0, 1), entries=10)

    assert [change for change in told if change.after == "firing"] == []
