"""The limiter section at its smallest: every side decides all, on as many keys, and is judged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest
import redis

from perflab.services import Redis
from perflab.studies.peers import contest_table
from perflab.studies.peers.contest import Sizes
from perflab.studies.peers.limiter import decisions, judge_decisions, measure_decisions, sides
from perflab.studies.peers.limiter.sides import Decide

pytestmark = pytest.mark.usefixtures("rivals")

SMALL = Sizes(rounds=1, calls=1, seed=3)
Opened = Callable[[Redis], AbstractAsyncContextManager[Decide]]
LIMITERS: dict[str, Opened] = {
    "ours, gcra": partial(sides.ours, algorithm="gcra"),
    "ours, sliding log": partial(sides.ours, algorithm="sliding_log"),
    "limits": partial(sides.limits_moving_window, timeouts=False),
    "throttled-py": partial(sides.throttled_gcra, timeouts=False),
}


def test_all_sides_decide_every_request_and_admit_it(redis_server: Redis) -> None:
    contests = measure_decisions(redis_server, SMALL)
    assert [one.rival for one in contests] == list(decisions.RIVALS)
    for one in contests:
        assert (one.samples.rows == one.requests).all()
        assert len(one.samples) == 3
    assert [one.rival for one in contests if one.yardstick] == [decisions.BARE]
    verdicts = list(judge_decisions(contests))
    assert len(verdicts) == len(contests) - 1
    assert {one.target.target for one in verdicts} == {3.5}
    shown = contest_table(contests, title="t", one="decision").shown
    assert "our µs a decision" in shown.columns


@pytest.mark.parametrize("name", LIMITERS)
def test_each_side_enforces_the_same_quota_for_each_subject(
    redis_server: Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sides, "LIMIT", 5)

    async def scenario() -> None:
        async with LIMITERS[name](redis_server) as decide:
            assert [await decide(1) for _ in range(7)] == [True] * 5 + [False] * 2
            assert await decide(2), "whose quota is untouched"

    asyncio.run(scenario())


def test_all_sides_keep_to_the_labs_prefix(redis_server: Redis) -> None:
    with redis.Redis.from_url(redis_server.url()) as client:
        before = set(client.keys("*"))
        measure_decisions(redis_server, SMALL)
        made = set(client.keys("*")) - before
    assert made
    assert all(key.decode().startswith(f"{redis_server.prefix}peers-") for key in made)
