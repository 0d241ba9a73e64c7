"""Settings that no cache can have: one error when they are given, which names the first of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from event_loop import run
from perflab.cache import (
    CacheError,
    CachePolicy,
    Codec,
    Ledger,
    MemoryTier,
    RedisTier,
    TieredCache,
    warm,
)
from perflab.cache.edge import EdgePurger, RedisTagIndex
from perflab.cache.edge.cloudflare import CloudflareEdge

REDIS = "redis://localhost"


async def asynchronous(told: object) -> int:
    raise AssertionError("nobody awaits this")


def policy(**fields: Any) -> CachePolicy:
    return CachePolicy(name="mine", **({"ttl_s": 1.0} | fields))


def cloudflare(**settings: Any) -> CloudflareEdge:
    return CloudflareEdge(**({"zone_id": "0" * 32} | settings))


def tier(**settings: Any) -> RedisTier:
    return RedisTier(REDIS, **settings)


def index(**settings: Any) -> RedisTagIndex:
    return RedisTagIndex(REDIS, **settings)


def codec(**settings: Any) -> Codec:
    return Codec(**settings)


def gzip(**settings: Any) -> Codec:
    return Codec(compression="gzip", **settings)


BAD: tuple[tuple[Callable[..., object], str, object], ...] = (
    (policy, "codec", "zstd"),
    (policy, "codec", Codec),
    (policy, "early_refresh", "no"),
    (policy, "needs_tags", 1),
    (policy, "absent_errors", KeyError),
    (policy, "absent_errors", [KeyError]),
    (policy, "absent_errors", (KeyError, "ValueError")),
    (policy, "absent_errors", (KeyError(),)),
    (policy, "absent_errors", (BaseException,)),
    (codec, "level", 1_000),
    (codec, "level", "best"),
    (codec, "level", 1.5),
    (codec, "threshold_bytes", -1),
    (codec, "threshold_bytes", None),
    (gzip, "level", 10),
    (MemoryTier, "max_entries", None),
    (MemoryTier, "max_entries", 2.5),
    (MemoryTier, "max_entries", True),
    (MemoryTier, "max_bytes", math.nan),
    (MemoryTier, "max_marks", 0),
    (MemoryTier, "ttl_s", math.nan),
    (MemoryTier, "ttl_s", math.inf),
    (MemoryTier, "ttl_s", "1"),
    (MemoryTier, "size_of", 100),
    (MemoryTier, "size_of", asynchronous),
    (tier, "budget_s", math.nan),
    (tier, "budget_s", 0),
    (tier, "purge_timeout_s", -1.0),
    (tier, "timeout_s", None),
    (tier, "probe_s", 1e10),
    (tier, "failures", 0),
    (tier, "failures", 1.5),
    (tier, "jitter", math.nan),
    (tier, "jitter", "a bit"),
    (tier, "cluster", "yes"),
    (tier, "codec", "zstd"),
    (tier, "prefix", None),
    (index, "timeout_s", math.nan),
    (index, "most_urls", 0),
    (cloudflare, "zone_id", None),
    (cloudflare, "plan", ["free"]),
    (cloudflare, "api", "nonsense"),
    (cloudflare, "api", "http://host:port"),
    (cloudflare, "api", None),
    (cloudflare, "timeout_s", math.nan),
    (TieredCache, "memory", {}),
    (TieredCache, "memory", tier()),
    (TieredCache, "shared", REDIS),
    (TieredCache, "shared", MemoryTier()),
    (TieredCache, "beyond", "edge"),
    (TieredCache, "beyond", EdgePurger),
    (TieredCache, "beyond", [EdgePurger]),
)


@pytest.mark.parametrize(("make", "name", "value"), BAD)
def test_a_setting_that_cannot_be_used_is_named_when_it_is_given(
    make: Callable[..., object], name: str, value: object
) -> None:
    with pytest.raises(CacheError, match="no zone id" if name == "zone_id" else name):
        make(**{name: value})


def test_numbers_of_numpy_and_the_ends_of_ranges_are_taken() -> None:
    policy(ttl_s=np.float64(5), stale_s=1e9, absent_errors=(KeyError, LookupError))
    numbers: Any = (np.int64(5), np.float32(0.5))
    MemoryTier(*numbers, max_bytes=5)
    codec(level=22, threshold_bytes=0)
    gzip(level=9)


def test_an_edge_that_was_not_wrapped_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "no-token")
    edge: Any = CloudflareEdge("0" * 32)
    with pytest.raises(CacheError, match="wrap an edge into EdgePurger"):
        TieredCache(beyond=[edge])
    TieredCache(beyond=[EdgePurger(edge)])


@pytest.mark.parametrize(
    ("name", "value"),
    [("budget_s", math.nan), ("budget_s", "5"), ("budget_s", -1.0), ("concurrency", 1.5)],
)
def test_warming_without_a_usable_budget_is_refused(name: str, value: Any) -> None:
    async def scenario() -> None:
        async with TieredCache(MemoryTier()) as cache:
            with pytest.raises(CacheError, match=name):
                await warm(cache, [], **{name: value})

    run(scenario())


@pytest.mark.parametrize("values", [None, [("k", print)], iter([])])
def test_what_is_warmed_are_warm_structs(values: Any) -> None:
    async def scenario() -> None:
        async with TieredCache(MemoryTier()) as cache:
            with pytest.raises(CacheError, match="values must be a list of Warm structs"):
                await warm(cache, values)
            nothing: Any = None
            with pytest.raises(CacheError, match="cache=None: must be a TieredCache"):
                await warm(nothing, [])

    run(scenario())


def test_an_outcome_that_is_none_is_not_left_out_in_silence() -> None:
    outcome: Any = "HIT"
    with pytest.raises(CacheError, match="outcome 'HIT' is unknown; known: hit, stale, miss"):
        Ledger().enter_edge("plain", outcome)


def test_a_tier_refuses_times_and_callbacks_that_are_none() -> None:
    async def scenario() -> None:
        async with tier() as opened:
            for ttl_s in (math.nan, math.inf, 0.0):
                with pytest.raises(CacheError, match="ttl_s="):
                    await opened.lease("k", ttl_s=ttl_s)
            callback: Any = None
            with pytest.raises(CacheError, match="callback=None: must be a function"):
                opened.listen(callback)

            callback = asynchronous
            with pytest.raises(CacheError, match="callback is an async function"):
                opened.listen(callback)

    run(scenario())
