"""What a check costs: every way decides as it should, and what would be wrong is refused."""

from __future__ import annotations

import asyncio

import pytest
import redis

from perflab.measure.statistics import Interval
from perflab.services import Redis
from perflab.studies import limits
from perflab.studies.limits import overhead
from perflab.studies.limits.lapse import Undecided
from perflab.studies.limits.overhead import Way


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "CHECKS", 60)
    monkeypatch.setattr(overhead, "ALONE", 5)
    monkeypatch.setattr(overhead, "SUBJECTS", 50)


def test_every_way_has_its_cost_and_redis_its_share(redis_server: Redis) -> None:
    costs = limits.measure_overhead(redis_server, rounds=20, seed=3)
    assert [(cost.name, cost.callers) for cost in costs] == [
        ("PING (no limiter)", 1),
        ("a check", 1),
        ("PING (no limiter)", 50),
        ("a check", 50),
        ("two policies together", 50),
        ("20 units taken at once", 50),
        ("denied and remembered", 50),
        ("within the process", 50),
    ]
    for cost in costs:
        assert isinstance(cost.us, Interval)
        assert 0 < cost.us.lo < cost.us.hi
    asked = {cost.name for cost in costs if cost.server_us is not None}
    ours = {"a check", "two policies together", "20 units taken at once"}
    assert asked == ours, "nothing else comes to Redis's scripts"
    table = limits.overhead_table(costs)
    assert len(table.shown) == 8
    (axes,) = limits.overhead_plot(costs).axes
    assert axes.get_title(loc="left").startswith("A check: ")


def test_a_check_among_many_is_one_of_few_script_calls(redis_server: Redis) -> None:
    with redis.Redis.from_url(redis_server.url()) as client:

        def calls() -> int:
            return int(client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))

        before = calls()
        limits.measure_overhead(redis_server, rounds=1, seed=3)
        checks = 2 * (5 + 60 + 60 + 60) + 2 * 50
        assert calls() - before < checks / 2


def test_without_enough_rounds_there_is_no_interval_and_no_figure_in_the_title(
    redis_server: Redis,
) -> None:
    costs = limits.measure_overhead(redis_server, rounds=1, seed=3)
    assert not any(isinstance(cost.us, Interval) for cost in costs)
    (axes,) = limits.overhead_plot(costs).axes
    assert axes.get_title(loc="left") == "What a check costs"


def test_a_wrong_decision_is_no_figure() -> None:
    async def sometimes(number: int) -> bool:
        return number != 3

    with pytest.raises(Undecided, match="1 of 6 checks"):
        asyncio.run(overhead._once(Way("w", sometimes, callers=2, checks=6)))
