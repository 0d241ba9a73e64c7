"""Units taken ahead: what GCRA admits and no more, with fewer trips; lost or idle, they drain."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from event_loop import own_prefix, run
from perflab.ratelimit import Charge, Policy, RateLimiter
from perflab.ratelimit.leases import Leases
from perflab.ratelimit.local import LocalStore, Part
from perflab.ratelimit.policies import US
from perflab.ratelimit.script import WAIT
from perflab.services import Redis
from redis_outages import FOR_EVER_S, kill

from .models import LeakyBucket
from .support import START_US, Clock, open_limiter, someone

# a unit drains in 864 s: nothing does while a test runs
WIDE = Policy(name="wide", limit=100, period_s=86_400.0, lease=8, on_outage="closed")
EXACT = Policy(name="exact", limit=100, period_s=86_400.0)
PART = Part(WIDE, 1, "{user:1}wide", 1)


@pytest.fixture(scope="module")
def url(redis_server: Redis) -> str:
    return redis_server.url()


@pytest.fixture(scope="module")
def direct(url: str) -> Iterator[Any]:
    with redis.Redis.from_url(url) as client:
        yield client


def sources(found: list[Any]) -> list[str]:
    return [one.quotas[0].source for one in found]


class Process:
    """One that asks a shared meter, with a clock of its own and a way to it that takes time."""

    def __init__(self, meter: LocalStore, ahead_us: int) -> None:
        self._meter = meter
        self._ahead_us = ahead_us
        self._leases = Leases(10)

    async def admits(self, part: Part, now: int, trip_us: int) -> tuple[bool, int]:
        """Whether a check of a time passes, and when that was decided."""
        asked_at = now + self._ahead_us
        if self._leases.spend(part, asked_at) is not None:
            return True, now

        async def decide(asked: Part) -> list[int]:
            return self._meter.decide((asked,), now + trip_us)

        found = await self._leases.ask(part, asked_at, decide)
        assert found is not None
        return found[WAIT] <= 0, now + trip_us


POLICIES = [
    Policy(name="p", limit=60, period_s=7.0, lease=6),
    Policy(name="p", limit=60, period_s=7.0, burst=25, lease=60),
    Policy(name="p", limit=700, period_s=7.0, burst=20, lease=2),
]
QUARTER_US = POLICIES[0].interval_us // 4
gaps = st.one_of(
    st.sampled_from([0, 0, 1, QUARTER_US, 2 * QUARTER_US, 7 * US]), st.integers(0, 30 * QUARTER_US)
)


async def stays_within(
    policy: Policy, clocks: list[int], steps: list[tuple[int, int, int, int, int]]
) -> None:
    """Every step is a pause, who asks, how often, for how much, and how long a trip takes."""
    meter, model, now = LocalStore(10), LeakyBucket(policy), START_US
    processes = [Process(meter, ahead_us) for ahead_us in clocks]
    for pause, who, times, cost, trip_us in steps:
        now += pause
        part = Part(policy, 1, "key", cost)
        for _ in range(times):
            allowed, now = await processes[who % len(processes)].admits(part, now, trip_us)
            if allowed:
                assert model.room(now) >= cost
                model.take(now, cost)


@settings(max_examples=200, deadline=None)
@given(
    policy=st.sampled_from(POLICIES),
    clocks=st.lists(st.integers(-US, US), min_size=1, max_size=3),
    steps=st.lists(
        st.tuples(
            gaps,
            st.integers(0, 2),
            st.sampled_from([1, 2, 5, 70]),
            st.sampled_from([1, 1, 1, 2, 5]),
            st.sampled_from([0, 0, 0, 1, 20_000]),
        ),
        min_size=1,
        max_size=40,
    ),
)
def test_whoever_hands_them_out_gcra_would_have_admitted_them(
    policy: Policy, clocks: list[int], steps: list[tuple[int, int, int, int, int]]
) -> None:
    asyncio.run(stays_within(policy, clocks, steps))


@pytest.mark.parametrize("handed_out", [1, 3, 5, 6])
def test_of_a_slot_that_has_begun_to_drain_nothing_is_handed_out(handed_out: int) -> None:
    """Units are held for a while, handed out, and the burst follows."""
    for held, then in itertools.product(range(30), range(4)):
        steps = [
            (0, 0, 2, 1, 0),
            (held * QUARTER_US, 0, handed_out, 1, 0),
            (then * QUARTER_US, 0, 60, 1, 0),
        ]
        asyncio.run(stays_within(POLICIES[0], [0], steps))


def test_who_comes_back_is_answered_as_without_leases_and_asks_a_tenth_of_the_times(
    url: str, direct: Any
) -> None:
    async def scenario() -> None:
        async with open_limiter(url, [WIDE, EXACT], clock=Clock()) as limiter:
            user = someone()
            found = [await limiter.check("wide", user) for _ in range(102)]
            exact = [await limiter.check("exact", user) for _ in range(102)]
            assert [one.allowed for one in found] == [True] * 100 + [False] * 2
            assert [one.quotas[0].remaining for one in found] == [
                one.quotas[0].remaining for one in exact
            ]
            for one, other in zip(found, exact, strict=True):
                mine, theirs = one.quotas[0], other.quotas[0]
                # the clock stands still for what is handed out, and in Redis it does not
                assert mine.next_s == pytest.approx(theirs.next_s, abs=60)
                assert mine.reset_s == pytest.approx(theirs.reset_s, abs=60)
                assert mine.retry_after_s == pytest.approx(theirs.retry_after_s, abs=60)
            # the first alone, then as many as there are, at most a tenth of what is left
            assert sources(found[:10]) == ["redis", "redis", *["lease"] * 7, "redis"]
            assert sources(found[90:]) == ["redis"] * 11 + ["memory"]
            counted = limiter.stats().policies["wide"]
            assert counted.allowed == 100
            assert counted.leased == sources(found).count("lease") > 60

    run(scenario())


def test_of_many_who_ask_at_once_one_takes_units_ahead(url: str) -> None:
    async def scenario() -> None:
        prefix, user = own_prefix(), someone()
        async with (
            open_limiter(url, [WIDE], prefix=prefix) as limiter,
            open_limiter(url, [WIDE], prefix=prefix) as other,
        ):
            await limiter.check("wide", user)
            await asyncio.gather(*(limiter.check("wide", user) for _ in range(20)))
            # 21 were used, and 7 of the 8 that one took are held
            assert (await other.check("wide", user)).quotas[0].remaining == 100 - 21 - 7 - 1

    run(scenario())


def test_who_is_denied_while_another_takes_the_last_units_gets_of_those(url: str) -> None:
    async def scenario() -> None:
        user = someone()
        async with open_limiter(url, [WIDE], max_denied=1) as limiter:
            await limiter.check("wide", user, 20)
            found = await asyncio.gather(*(limiter.check("wide", user) for _ in range(100)))
            assert sum(one.allowed for one in found) == 80
            assert sources(found).count("lease") == 7

    run(scenario())


def test_where_others_left_less_than_was_thought_a_check_is_charged_alone(url: str) -> None:
    async def scenario() -> None:
        prefix, user = own_prefix(), someone()
        async with (
            open_limiter(url, [WIDE], prefix=prefix) as limiter,
            open_limiter(url, [WIDE], prefix=prefix) as other,
        ):
            await limiter.check("wide", user)
            await other.check("wide", user, 97)
            found = [await limiter.check("wide", user) for _ in range(3)]
            assert [one.allowed for one in found] == [True, True, False]
            assert sources(found) == ["redis"] * 3

    run(scenario())


def test_units_that_nobody_used_drain(url: str, direct: Any) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with open_limiter(url, [WIDE], clock=clock) as limiter:
            user = someone()
            await limiter.check("wide", user)
            await limiter.check("wide", user)
            # those held are the last seven of nine slots
            clock.now += 8 * 864 - 1
            assert sources([await limiter.check("wide", user) for _ in range(2)]) == [
                "lease",
                "redis",
            ]
            clock.now += 20 * 864
            assert sources([await limiter.check("wide", user)]) == ["redis"]

    run(scenario())


def test_what_is_held_does_not_do_for_a_larger_cost(url: str) -> None:
    async def scenario() -> None:
        async with open_limiter(url, [WIDE]) as limiter:
            user = someone()
            for cost, source, remaining in (
                (1, "redis", 99),
                (1, "redis", 98),
                (5, "lease", 93),
                (30, "redis", 63),
                (2, "lease", 61),
            ):
                decision = await limiter.check("wide", user, cost)
                assert decision.quotas[0].source == source
                assert decision.quotas[0].remaining == remaining

    run(scenario())


def test_checks_of_several_policies_and_of_a_callers_time_are_decided_in_redis(url: str) -> None:
    async def scenario() -> None:
        async with open_limiter(url, [WIDE, EXACT]) as limiter:
            user, other = someone(), someone()
            both = [Charge("wide", user), Charge("exact", user)]
            found = [await limiter.check_all(both) for _ in range(3)]
            found += [await limiter.check("wide", other, now=START_US / US) for _ in range(3)]
            assert sources(found) == ["redis"] * 6
            assert [one.quotas[0].remaining for one in found] == [99, 98, 97] * 2

    run(scenario())


def test_after_a_reset_nothing_is_held(url: str) -> None:
    async def scenario() -> None:
        async with open_limiter(url, [WIDE]) as limiter:
            user = someone()
            for _ in range(3):
                await limiter.check("wide", user)
            assert limiter.stats().leases == 1
            await limiter.reset("wide", user)
            assert limiter.stats().leases == 0
            assert (await limiter.check("wide", user)).quotas[0].remaining == 99

    run(scenario())


def test_no_more_keys_are_known_than_was_set(url: str) -> None:
    async def scenario() -> None:
        async with open_limiter(url, [WIDE], max_leases=2) as limiter:
            users = [someone() for _ in range(3)]
            for user in users:
                await limiter.check("wide", user)
                await limiter.check("wide", user)
            assert limiter.stats().leases == 2
            found = [await limiter.check("wide", user) for user in reversed(users)]
            assert sources(found) == ["lease", "lease", "redis"]
            assert found[2].quotas[0].remaining == 100 - 2 - 7 - 1  # what was held drains

    run(scenario())


def test_what_is_held_passes_in_an_outage_and_then_the_policy_says(server: Redis) -> None:
    async def scenario() -> None:
        async with RateLimiter(
            server.url(), [WIDE], prefix=own_prefix(), budget_s=0.5, timeout_s=FOR_EVER_S
        ) as limiter:
            await limiter.ping()
            user = someone()
            for _ in range(2):
                await limiter.check("wide", user)
            kill(server)
            found = [await limiter.check("wide", user) for _ in range(9)]
            assert [one.allowed for one in found] == [True] * 7 + [False] * 2
            assert sources(found) == ["lease"] * 7 + ["outage"] * 2

    run(scenario())


def test_who_gives_up_waiting_blocks_nobody(url: str) -> None:
    async def scenario() -> None:
        async with open_limiter(url, [WIDE]) as limiter:
            user = someone()
            await limiter.check("wide", user)
            waiting = asyncio.create_task(limiter.check("wide", user))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            found = [await limiter.check("wide", user) for _ in range(2)]
            assert sources(found) == ["redis", "lease"]

    run(scenario())


def test_a_process_alone_counts_itself_and_leases_nothing() -> None:
    async def scenario() -> None:
        async with open_limiter(None, [WIDE]) as limiter:
            user = someone()
            found = [await limiter.check("wide", user) for _ in range(3)]
            assert sources(found) == ["local"] * 3

    run(scenario())
