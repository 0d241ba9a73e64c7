"""What the limiter does in Redis: trips, keys, scripts; and what it remembers to save trips."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from event_loop import own_prefix, run
from perflab.ratelimit import Charge, Policy, RateLimitUnavailable, Subject
from perflab.ratelimit.policies import ALGORITHMS, US
from perflab.services import Redis

from .support import DAY_S, START_US, Clock, open_limiter, someone

NOW = START_US / US
POLICIES = [
    Policy(name=algorithm.replace("_", "-"), limit=5, period_s=DAY_S, algorithm=algorithm)
    for algorithm in ALGORITHMS
]
NAMES = [policy.name for policy in POLICIES]


@pytest.fixture(scope="module")
def url(redis_server: Redis) -> str:
    return redis_server.url()


@pytest.fixture(scope="module")
def direct(url: str) -> Iterator[Any]:
    with redis.Redis.from_url(url) as client:
        yield client


def script_calls(direct: Any) -> int:
    stats = direct.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval"))


def test_checks_of_a_tick_are_one_script_call(url: str, direct: Any) -> None:
    async def scenario() -> None:
        async with open_limiter(url, POLICIES) as limiter:
            await limiter.ping()
            before, user = script_calls(direct), someone()
            decisions = await asyncio.gather(
                *(limiter.check("gcra", Subject.user(n)) for n in range(40)),
                *(limiter.check("sliding-log", user) for _ in range(9)),
                limiter.check_all([Charge(name, user) for name in NAMES]),
            )
            assert script_calls(direct) - before == 1
            assert [one.allowed for one in decisions] == [True] * 45 + [False] * 5

    run(scenario())


def test_a_large_tick_is_split_so_that_the_server_is_never_blocked_for_long(
    url: str, direct: Any
) -> None:
    async def scenario() -> None:
        async with open_limiter(url, POLICIES) as limiter:
            await limiter.ping()
            before = script_calls(direct)
            found = await asyncio.gather(
                *(limiter.check("gcra", Subject.user(n)) for n in range(1_000))
            )
            assert all(one.allowed for one in found)
            assert script_calls(direct) - before == 4

    run(scenario())


@pytest.mark.parametrize("name", NAMES)
def test_state_goes_when_it_is_at_rest(url: str, direct: Any, name: str) -> None:
    async def scenario() -> None:
        prefix = own_prefix()
        async with open_limiter(url, POLICIES, prefix=prefix) as limiter:
            decision = await limiter.check(name, someone())
            (key,) = direct.keys(f"{prefix}*{name}*")
            rest_s = decision.quotas[0].reset_s
            # a busy machine may be late to look
            assert rest_s - 60 < direct.pttl(key) / 1000 <= rest_s + 1.001

    run(scenario())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("foreign", [b"", b"something else", b"nan", b"1 2 3 4", b"\xff" * 16])
def test_what_is_not_ours_under_a_key_counts_as_nothing_or_full(
    url: str, direct: Any, name: str, foreign: bytes
) -> None:
    async def scenario() -> None:
        prefix, user = own_prefix(), someone()
        async with open_limiter(url, POLICIES, prefix=prefix) as limiter:
            await limiter.check(name, user, now=NOW)
            (key,) = direct.keys(f"{prefix}*{name}*")
            direct.set(key, foreign)
            found = [await limiter.check(name, user, now=NOW) for _ in range(6)]
            allowed = [one.allowed for one in found]
            assert allowed in ([True] * 5 + [False], [False] * 6)
            assert allowed[0] or found[0].retry_after_s <= DAY_S
            assert limiter.stats().errors == 0

    run(scenario())


def test_of_a_damaged_log_counts_what_can_be_read(url: str, direct: Any) -> None:
    async def scenario() -> None:
        prefix, user = own_prefix(), someone()
        async with open_limiter(url, POLICIES, prefix=prefix) as limiter:
            await limiter.check("sliding-log", user, now=NOW)
            (key,) = direct.keys(f"{prefix}*sliding-log*")
            direct.append(key, b"x" * 64)
            found = [await limiter.check("sliding-log", user, now=NOW) for _ in range(6)]
            assert [one.allowed for one in found] == [True] * 4 + [False] * 2
            assert limiter.stats().errors == 0

    run(scenario())


@pytest.mark.parametrize("name", NAMES)
def test_a_key_of_another_type_spoils_no_batch(url: str, direct: Any, name: str) -> None:
    async def scenario() -> None:
        prefix, user = own_prefix(), someone()
        async with open_limiter(url, POLICIES, prefix=prefix) as limiter:
            await limiter.check(name, user)
            (key,) = direct.keys(f"{prefix}*{name}*")
            direct.delete(key)
            direct.rpush(key, "a list")
            found = await asyncio.gather(*(limiter.check(name, user) for _ in range(6)))
            assert [one.allowed for one in found] == [True] * 5 + [False]

    run(scenario())


def test_a_lowered_limit_holds_for_what_was_used_before(url: str) -> None:
    async def scenario() -> None:
        prefix, user = own_prefix(), someone()
        async with open_limiter(url, POLICIES, prefix=prefix) as before:
            for name in NAMES:
                assert (await before.check(name, user, 5, now=NOW)).allowed
        lowered = [
            Policy(name=one.name, limit=2, period_s=one.period_s, algorithm=one.algorithm)
            for one in POLICIES
        ]
        async with open_limiter(url, lowered, prefix=prefix) as after:
            for name in NAMES:
                decision = await after.check(name, user, now=NOW)
                assert not decision.allowed
                assert decision.quotas[0].remaining == 0

    run(scenario())


def test_another_period_or_algorithm_starts_from_nothing(url: str) -> None:
    async def scenario() -> None:
        prefix, user = own_prefix(), someone()
        for period_s in (DAY_S, DAY_S / 2):
            for algorithm in ALGORITHMS:
                policy = Policy(name="p", limit=5, period_s=period_s, algorithm=algorithm)
                async with open_limiter(url, [policy], prefix=prefix) as limiter:
                    decision = await limiter.check("p", user, 2, now=NOW)
                    assert decision.quotas[0].remaining == 3

    run(scenario())


def test_a_server_that_forgot_the_scripts_is_told_again(url: str, direct: Any) -> None:
    async def scenario() -> None:
        async with open_limiter(url, POLICIES) as limiter:
            user = someone()
            allowed = 0
            for _ in range(4):
                direct.script_flush()
                found = await asyncio.gather(*(limiter.check("gcra", user) for _ in range(2)))
                allowed += sum(one.allowed for one in found)
            assert allowed == 5
            assert limiter.stats().errors == 0

    run(scenario())


def test_who_is_denied_costs_no_further_trips_until_it_may_pass(url: str, direct: Any) -> None:
    async def scenario() -> None:
        clock = Clock()
        short = Policy(name="short", limit=1, period_s=60)
        async with open_limiter(url, [short], clock=clock) as limiter:
            user = someone()
            await limiter.check("short", user)
            denied = await limiter.check("short", user)
            assert denied.quotas[0].source == "redis"
            before = script_calls(direct)
            clock.now += 20
            for _ in range(100):
                remembered = await limiter.check("short", user)
            assert script_calls(direct) == before
            assert not remembered.allowed
            (quota,) = remembered.quotas
            assert quota.source == "memory"
            assert quota.retry_after_s == pytest.approx(denied.retry_after_s - 20)
            assert quota.remaining == 0
            counted = limiter.stats().policies["short"]
            assert (counted.denied, counted.locally_denied) == (1, 100)
            clock.now += denied.retry_after_s - 20.5
            assert (await limiter.check("short", user)).quotas[0].source == "memory"
            clock.now += 0.5
            assert (await limiter.check("short", user)).quotas[0].source == "redis"

    run(scenario())


def test_a_denied_subject_is_denied_whatever_else_is_charged(url: str, direct: Any) -> None:
    async def scenario() -> None:
        async with open_limiter(url, POLICIES) as limiter:
            user, other = someone(), someone()
            await limiter.check("gcra", user, 5)
            await limiter.check("gcra", user)
            before = script_calls(direct)
            decision = await limiter.check_all([Charge("gcra", other), Charge("gcra", user)])
            assert script_calls(direct) == before
            assert decision.violated == ("gcra",)
            assert (await limiter.check("gcra", other, 5)).allowed

    run(scenario())


def test_less_may_pass_where_more_was_denied(url: str) -> None:
    async def scenario() -> None:
        async with open_limiter(url, POLICIES) as limiter:
            user = someone()
            await limiter.check("gcra", user, 2)
            assert not (await limiter.check("gcra", user, 4)).allowed
            assert (await limiter.check("gcra", user, 4)).quotas[0].source == "memory"
            assert (await limiter.check("gcra", user, 3)).allowed

    run(scenario())


def test_memory_of_denials_is_bounded_in_number_and_time(url: str) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with open_limiter(
            url, POLICIES, clock=clock, max_denied=3, remember_at_most_s=10
        ) as limiter:
            users = [someone() for _ in range(5)]
            for user in users:
                await limiter.check("gcra", user, 5)
                await limiter.check("gcra", user)
            assert limiter.stats().remembered == 3
            sources = [(await limiter.check("gcra", user)).quotas[0].source for user in users[2:]]
            assert sources == ["memory"] * 3
            clock.now += 10
            assert (await limiter.check("gcra", users[4])).quotas[0].source == "redis"

    run(scenario())


def test_a_time_of_the_callers_own_is_not_remembered(url: str) -> None:
    async def scenario() -> None:
        async with open_limiter(url, POLICIES) as limiter:
            user = someone()
            await limiter.check("gcra", user, 5, now=NOW)
            assert not (await limiter.check("gcra", user, now=NOW)).allowed
            assert limiter.stats().remembered == 0
            assert (await limiter.check("gcra", user, 5, now=NOW + DAY_S)).allowed

    run(scenario())


def test_a_policy_in_shadow_is_asked_about_every_time(url: str, direct: Any) -> None:
    async def scenario() -> None:
        tried = Policy(name="tried", limit=1, period_s=DAY_S, shadow=True)
        async with open_limiter(url, [tried]) as limiter:
            user = someone()
            found = [await limiter.check("tried", user) for _ in range(5)]
            assert {one.quotas[0].source for one in found} == {"redis"}
            assert limiter.stats().policies["tried"].shadow_denied == 4

    run(scenario())


def test_the_server_keeps_the_time(url: str, direct: Any) -> None:
    async def scenario() -> None:
        wrong = Clock(1.0)
        window = Policy(name="window", limit=1, period_s=DAY_S, algorithm="fixed_window")
        async with open_limiter(url, [window], wall=wrong) as limiter:
            decision = await limiter.check("window", someone())
            seconds, _ = direct.time()
            left = DAY_S - seconds % DAY_S
            late = (decision.quotas[0].reset_s - left) % DAY_S
            assert min(late, DAY_S - late) < 60

    run(scenario())


def test_one_cancelled_caller_takes_nothing_from_the_others(url: str) -> None:
    async def scenario() -> None:
        async with open_limiter(url, POLICIES) as limiter:
            user = someone()
            tasks = [asyncio.create_task(limiter.check("gcra", user)) for _ in range(3)]
            await asyncio.sleep(0)
            tasks[1].cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(found[1], asyncio.CancelledError)
            assert not isinstance(found[0], BaseException)
            assert not isinstance(found[2], BaseException)
            assert found[0].allowed
            assert found[2].allowed

    run(scenario())


def test_a_wrong_password_is_said_without_showing_it(redis_server: Redis) -> None:
    async def scenario() -> None:
        url = f"redis://:wr0ng-s3cret@{redis_server.host}:{redis_server.port}/0"
        async with open_limiter(url, POLICIES) as limiter:
            with pytest.raises(RateLimitUnavailable) as raised:
                await limiter.ping()
            assert f"{redis_server.host}:{redis_server.port}" in str(raised.value)
            assert "wr0ng" not in str(raised.value)
            assert "\n" not in str(raised.value)

    run(scenario())
