"""The cache section at its smallest: right answers on both sides, and the targets judged."""

from __future__ import annotations

import asyncio

import pytest

from perflab.cache.policies.synthetic import zipf_popularities
from perflab.measure.samples import Samples
from perflab.services import Redis
from perflab.studies.peers.cache import (
    judge_concurrent_gets,
    judge_memory_hits,
    judge_ratios,
    judge_read_path,
    judge_warm_get,
    measure_concurrent_gets,
    measure_memory_hits,
    measure_ratios,
    measure_read_path,
    measure_warm_get,
    memory,
    profiles,
    ratios,
    ratios_table,
    read_path,
    shared_tier,
)
from perflab.studies.peers.cache.ratios import Ratios
from perflab.studies.peers.cache.sides import opened_cashews, opened_ours
from perflab.studies.peers.contest import Contest, Sizes, in_thread

SMALL = Sizes(rounds=1, calls=1, seed=3)


def everything_answered(contest: Contest) -> bool:
    samples: Samples = contest.samples
    return bool((samples.rows == contest.requests).all()) and len(samples) == 3


def test_the_value_has_the_size_that_it_claims() -> None:
    import msgspec

    size = len(msgspec.msgpack.encode(profiles.profile(1_234)))
    assert size == pytest.approx(profiles.VALUE_BYTES, rel=0.05)


@pytest.mark.usefixtures("rivals")
def test_every_memory_cache_answers_every_get() -> None:
    contests = measure_memory_hits(SMALL)
    assert all(map(everything_answered, contests))
    assert [c.rival for c in contests if c.yardstick] == [memory.FLOOR]
    assert len(list(judge_memory_hits(contests))) == len(contests) - 1


def test_concurrent_gets_answer_alike_singly_by_hand_and_through_the_tier(
    redis_server: Redis,
) -> None:
    contests = measure_concurrent_gets(redis_server, SMALL)
    assert [c.rival for c in contests] == [
        shared_tier.AS_IT_COMES,
        shared_tier.NO_TIMEOUT,
        shared_tier.BY_HAND,
    ]
    assert all(map(everything_answered, contests))
    assert 1 <= len(list(judge_concurrent_gets(contests))) <= 2


def test_measuring_again_on_the_same_server_finds_it_as_before(redis_server: Redis) -> None:
    for _ in range(2):
        assert all(map(everything_answered, measure_concurrent_gets(redis_server, SMALL)))


def test_a_warm_get_stays_in_memory(redis_server: Redis) -> None:
    contest = measure_warm_get(redis_server, SMALL)
    assert everything_answered(contest)
    (verdict,) = judge_warm_get(contest)
    assert verdict.verdict.word == "cannot tell", "one round carries no interval"


@pytest.mark.usefixtures("rivals")
def test_the_read_path_is_equal_work(redis_server: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_path, "KEYS", 600)
    monkeypatch.setattr(read_path, "_POPULARITIES", zipf_popularities(600, 1.0))
    path = measure_read_path(redis_server, SMALL)
    assert all(map(everything_answered, path.contests))
    assert path.loads[0] == path.loads[1] == path.loads[2] > 0
    shares = path.answered
    assert shares.memory + shares.redis + shares.loader + shares.joined == pytest.approx(1)
    assert shares.redis > 0
    assert len(list(judge_read_path(path))) == 2


@pytest.mark.usefixtures("rivals")
def test_both_sides_load_once_and_then_find_it_in_memory_and_in_redis(
    redis_server: Redis,
) -> None:
    def work(runner: asyncio.Runner) -> None:
        with (
            opened_ours(runner, redis_server) as (ours, again),
            opened_cashews(runner, redis_server) as cashews,
        ):
            for side in (ours, again, cashews):
                assert runner.run(side.get(7))
                assert runner.run(side.get(7))
                runner.run(side.forget())
                assert runner.run(side.get(7))
                assert side.loads == 1
            assert runner.run(cashews.get_locked(7))
            assert cashews.loads == 1, "locked or not, it is the same cache"

    in_thread(work)


@pytest.mark.usefixtures("rivals")
def test_hit_ratios_of_the_same_seed_are_ours_exactly_and_on_paired_traces() -> None:
    first, second = (measure_ratios(5, accesses=3_000, traces=3) for _ in range(2))
    assert [one.ours for one in first] == [one.ours for one in second]
    assert len(first) == 2 * len(ratios.SIZES)
    assert all(len(one.ours) == len(one.rival) == 3 for one in first)
    assert len(ratios_table(first).shown) == len(first)


def test_a_hit_ratio_may_be_lower_by_a_hundredth_and_not_more() -> None:
    def words(*lower: float) -> list[str]:
        found = [Ratios("w", 10, (0.5, 0.6, 0.7), (0.5 - by, 0.6 - by, 0.7 - by)) for by in lower]
        return [one.verdict.word for one in judge_ratios(found)]

    assert words(-0.2, 0.0, 0.009, 0.011, 0.2) == ["met", "met", "met", "missed", "missed"]
