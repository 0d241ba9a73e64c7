"""Purges that race loads, and how long a purge takes to be seen."""

from __future__ import annotations

import pytest

from perflab.cache import MemoryTier
from perflab.cache.entry import Invalidation
from perflab.services import Redis
from perflab.studies.cache import races
from perflab.studies.cache.races import measure_purges, measure_races


def test_a_fill_that_began_before_a_purge_survives_it_only_in_plain_cache_aside(
    redis_server: Redis,
) -> None:
    frame = measure_races(redis_server, 8, seed=3)
    assert list(frame["kind"]) == ["plain cache-aside", "tiered cache"]
    assert list(frame["races"]) == [8, 8]
    plain, tiered = frame["survived"]
    assert 1 <= plain <= 8
    assert tiered == 0


def test_a_tiered_cache_whose_purges_do_nothing_would_be_caught(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_args: object, **_names: object) -> bool:
        return True

    monkeypatch.setattr("perflab.cache.TieredCache.invalidate", nothing)
    assert measure_races(redis_server, 3, seed=3)["survived"].iloc[1] == 3


def test_a_purge_is_seen_in_every_tier_the_own_memory_first(redis_server: Redis) -> None:
    purges = 80
    frame = measure_purges(redis_server, purges).set_index("tier")
    assert list(frame.index) == ["own memory", "Redis", "other memory"]
    assert (frame["purges"] == purges).all()
    own, redis, other = (frame.loc[tier] for tier in frame.index)
    assert own["not_seen"] == 0
    assert 0 <= other["not_seen"] < purges
    # memory is purged before Redis is told, and Redis before the message goes out
    assert 0 < own["median"] <= redis["median"]
    assert own["median"] <= other["median"]
    for row in (own, redis, other):
        assert row["median_lo"] <= row["median"] <= row["median_hi"] <= row["longest"]
        assert row["median"] <= row["p95"] <= row["longest"] <= 1_000 * races.LATE_S + 100


def test_few_purges_have_a_longest_time_and_no_interval(redis_server: Redis) -> None:
    frame = measure_purges(redis_server, 3)
    assert frame[["p95", "p95_lo", "p95_hi"]].isna().all(axis=None)
    assert (frame["longest"] > 0).all()


def test_a_memory_that_hears_of_no_purge_is_counted_as_such(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf(MemoryTier):
        def invalidate(self, what: Invalidation) -> int:
            return super().invalidate(what) if what.everything else 0

    kinds = iter((MemoryTier, Deaf))
    monkeypatch.setattr(races, "MemoryTier", lambda: next(kinds)())
    monkeypatch.setattr(races, "LATE_S", 0.06)  # far less than what a local copy lives
    frame = measure_purges(redis_server, 3).set_index("tier")
    assert frame["not_seen"].to_dict() == {"own memory": 0, "Redis": 0, "other memory": 3}
    assert frame["longest"].isna().to_dict() == {
        "own memory": False, "Redis": False, "other memory": True
    }  # fmt: skip


def test_a_purge_that_is_given_up_at_once_is_seen_nowhere(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(races, "LATE_S", 0.0)
    frame = measure_purges(redis_server, 2)
    assert list(frame["not_seen"]) == [2, 2, 2]
