"""The ledger's arithmetic: sums, ratios, and the equations that must hold."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.entry import CacheError
from perflab.cache.ledger import Ledger, TierStats, Trail


def trail(memory: str, redis: str | None = None, loader: str | None = None) -> Trail:
    made = Trail(memory)  # type: ignore[arg-type]
    made.redis, made.loader = redis, loader  # type: ignore[assignment]
    return made


WAYS = [
    ("hit", None, None),
    ("stale", None, None),
    ("miss", "hit", None),
    ("miss", "stale", None),
    ("miss", "coalesced", None),
    ("miss", "miss", "hit"),
    ("miss", "miss", "miss"),
    ("miss", "miss", "coalesced"),
    ("miss", "miss", "bypassed"),
    ("miss", "bypassed", "hit"),
    ("miss", "bypassed", "bypassed"),
    ("bypassed", "hit", None),
    ("bypassed", "miss", "coalesced"),
]
"""Every way that a request can take."""

ENTERED = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(WAYS)), max_size=60)


@given(entered=ENTERED)
def test_whatever_is_entered_balances_by_policy_and_in_total(
    entered: list[tuple[str, tuple[str, str | None, str | None]]],
) -> None:
    ledger = Ledger()
    for policy, way in entered:
        ledger.books[policy].enter(trail(*way))
        stats = ledger.stats()
        assert all(part.imbalances() == [] for part in (*stats.policies, stats.total))
    total = ledger.stats().total
    assert total.requests == len(entered)
    for tier in total.chain:
        assert tier.hits + tier.stale_hits + tier.misses == tier.lookups


def test_a_trail_starts_as_one_whose_caller_left() -> None:
    ledger = Ledger()
    ledger.books["p"].enter(Trail("miss"))
    stats = ledger.stats().policy("p")
    assert (stats.redis.bypassed, stats.loader.bypassed) == (1, 1)
    assert stats.imbalances() == []


def test_local_ratios_are_of_lookups_and_global_ones_of_requests() -> None:
    ledger = Ledger()
    for way, count in ((WAYS[0], 60), (WAYS[2], 30), (WAYS[5], 10)):
        for _ in range(count):
            ledger.books["p"].enter(trail(*way))
    stats = ledger.stats().policy("p")
    assert stats.memory.hit_ratio == pytest.approx(0.6)
    assert stats.redis.hit_ratio == pytest.approx(0.75)
    assert stats.global_ratio("redis") == pytest.approx(0.3)
    assert stats.combined_ratio == pytest.approx(0.9)


def test_an_unused_ledger_has_no_ratios() -> None:
    total = Ledger().stats().total
    assert total.requests == 0
    assert total.imbalances() == []
    assert all(
        math.isnan(ratio)
        for ratio in (total.memory.hit_ratio, total.global_ratio("memory"), total.combined_ratio)
    )


def test_what_the_edge_answers_are_requests_too() -> None:
    ledger = Ledger()
    for outcome, count in (("hit", 6), ("miss", 3), ("bypassed", 1)):
        for _ in range(count):
            ledger.enter_edge("p", outcome, size_bytes=10)  # type: ignore[arg-type]
    for _ in range(4):
        ledger.books["p"].enter(trail(*WAYS[0]))
    ledger.books["inside"].enter(trail(*WAYS[0]))
    stats = ledger.stats()
    edge = stats.policy("p")
    assert (edge.requests, edge.edge.bytes, edge.edge.hit_ratio) == (10, 100, 6 / 9)
    assert (edge.imbalances(), stats.total.imbalances()) == ([], [])
    assert stats.total.requests == 11


def test_an_imbalance_is_named() -> None:
    ledger = Ledger()
    ledger.books["p"].enter(trail(*WAYS[2]))
    stats = ledger.stats().policy("p")
    wrong = msgspec.structs.replace(stats, redis=TierStats(hits=2))
    assert wrong.imbalances() == ["p, redis: 2 lookups, but 1 arrived, 0 coalesced and 0 bypassed"]


def test_bytes_times_and_refreshes_are_summed() -> None:
    ledger = Ledger()
    for policy in ("a", "b"):
        one = trail("miss", "miss", "hit")
        one.redis_s, one.redis_bytes, one.load_s = 0.5, 7, 2.0
        ledger.books[policy].enter(one)
        ledger.books[policy].enter_refresh(1.0, adopted=False, failed=True)
    total = ledger.stats().total
    assert (total.redis.seconds, total.redis.bytes, total.loader.seconds) == (1.0, 14, 4.0)
    background = total.background
    assert (background.refreshes, background.failures, background.seconds) == (2, 2, 2.0)


def test_a_snapshot_does_not_change() -> None:
    ledger = Ledger()
    before = ledger.stats()
    ledger.books["p"].enter(trail(*WAYS[0]))
    assert before.total.requests == 0
    assert ledger.stats().total.requests == 1


def test_unknown_names_are_refused() -> None:
    ledger = Ledger()
    ledger.books["p"].enter(trail(*WAYS[0]))
    with pytest.raises(CacheError, match="no policy 'q'; used so far: p"):
        ledger.stats().policy("q")
    with pytest.raises(CacheError, match="tier 'disk' is unknown; known: edge, memory"):
        ledger.stats().total.tier("disk")  # type: ignore[arg-type]
