"""The limiter's promises, with both stores."""

from __future__ import annotations

from typing import Any

import pytest

from event_loop import run
from perflab.ratelimit import Charge, Policy, RateLimiter, RateLimitError, Subject
from perflab.ratelimit.policies import US

from .support import DAY_S, START_US, open_limiter, someone

NOW = START_US / US
WIDE = Policy(name="wide", limit=100, period_s=DAY_S)
NARROW = Policy(name="narrow", limit=2, period_s=DAY_S, algorithm="sliding_log")
TRIED = Policy(name="tried", limit=1, period_s=DAY_S, algorithm="fixed_window", shadow=True)
POLICIES = (WIDE, NARROW, TRIED)


def test_several_policies_are_charged_all_or_none(store: str | None) -> None:
    async def scenario() -> None:
        async with open_limiter(store, POLICIES) as limiter:
            user, address = someone(), Subject.address("192.0.2.1")
            both = [Charge("wide", user, 5), Charge("narrow", address)]
            passed = [await limiter.check_all(both, now=NOW) for _ in range(4)]
            assert [one.allowed for one in passed] == [True, True, False, False]
            assert [one.quotas[0].remaining for one in passed] == [95, 90, 90, 90]
            assert passed[2].violated == ("narrow",)
            assert passed[2].retry_after_s == DAY_S
            alone = await limiter.check("wide", user, 90, now=NOW)
            assert alone.allowed
            counted = limiter.stats().policies
            assert (counted["wide"].allowed, counted["wide"].withheld) == (3, 2)
            assert (counted["narrow"].allowed, counted["narrow"].denied) == (2, 2)

    run(scenario())


def test_a_cost_is_charged_whole_or_not_at_all(store: str | None) -> None:
    async def scenario() -> None:
        async with open_limiter(store, POLICIES) as limiter:
            user = someone()
            for cost, allowed, remaining in ((98, True, 2), (3, False, 2), (2, True, 0)):
                decision = await limiter.check("wide", user, cost, now=NOW)
                assert decision.allowed is allowed
                assert decision.quotas[0].remaining == remaining

    run(scenario())


def test_subjects_and_policies_do_not_share_quotas(store: str | None) -> None:
    async def scenario() -> None:
        async with open_limiter(store, POLICIES) as limiter:
            for subject in (Subject.user("a"), Subject.user("a}narrow"), Subject.user("{a")):
                assert (await limiter.check("narrow", subject, 2, now=NOW)).allowed
                assert (await limiter.check("wide", subject, 100, now=NOW)).allowed

    run(scenario())


def test_a_policy_in_shadow_counts_and_lets_pass(store: str | None) -> None:
    async def scenario() -> None:
        async with open_limiter(store, POLICIES) as limiter:
            user = someone()
            charges = [Charge("tried", user), Charge("wide", user)]
            for number in range(3):
                decision = await limiter.check_all(charges)
                assert decision.allowed
                assert decision.violated == ()
                assert decision.quotas[0].allowed == (number == 0)
                assert decision.quotas[1].remaining == 99 - number
            counted = limiter.stats().policies["tried"]
            assert (counted.allowed, counted.shadow_denied, counted.denied) == (1, 2, 0)

    run(scenario())


def test_what_another_policy_denied_is_not_charged_in_shadow(store: str | None) -> None:
    async def scenario() -> None:
        async with open_limiter(store, POLICIES) as limiter:
            user, other = someone(), someone()
            await limiter.check("narrow", other, 2, now=NOW)
            charges = [Charge("tried", user), Charge("narrow", other)]
            assert not (await limiter.check_all(charges, now=NOW)).allowed
            assert (await limiter.check("tried", user, now=NOW)).quotas[0].allowed

    run(scenario())


def test_a_subject_starts_anew_after_a_reset(store: str | None) -> None:
    async def scenario() -> None:
        async with open_limiter(store, POLICIES) as limiter:
            user = someone()
            await limiter.check("narrow", user, 2)
            assert not (await limiter.check("narrow", user)).allowed
            await limiter.reset("wide", user)
            assert not (await limiter.check("narrow", user)).allowed
            await limiter.reset("narrow", user)
            assert (await limiter.check("narrow", user, 2)).allowed

    run(scenario())


def test_the_own_clock_frees_quota_with_time(store: str | None) -> None:
    async def scenario() -> None:
        quick = Policy(name="quick", limit=1, period_s=0.05, algorithm="sliding_log")
        async with open_limiter(store, [quick], max_denied=1) as limiter:
            user = someone()
            assert (await limiter.check("quick", user)).allowed
            allowed = False
            while not allowed:
                decision = await limiter.check("quick", user)
                allowed = decision.allowed
                assert 0 <= decision.retry_after_s <= 0.05

    run(scenario())


@pytest.mark.parametrize(
    ("charge", "named"),
    [
        (("other", Subject.user("a"), 1), "'other'.*wide, narrow, tried"),
        (("narrow", Subject.user("a"), 3), "'narrow'.*from 1 to 2"),
        (("narrow", Subject.user("a"), 0), "'narrow'.*from 1 to 2"),
        (("narrow", Subject.user("a"), True), "'narrow'.*from 1 to 2"),
        (("narrow", "a", 1), "Subject.*not str"),
    ],
)
def test_a_check_that_can_never_pass_is_an_error(
    store: str | None, charge: tuple[Any, ...], named: str
) -> None:
    async def scenario() -> None:
        async with open_limiter(store, POLICIES) as limiter:
            with pytest.raises(RateLimitError, match=named):
                await limiter.check(*charge)
            with pytest.raises(RateLimitError, match=named):
                await limiter.check_all([Charge(*charge)])

    run(scenario())


@pytest.mark.parametrize("now", [0, -1.0, float("nan"), float("inf"), 1e11])
def test_a_time_must_be_one(store: str | None, now: float) -> None:
    async def scenario() -> None:
        async with open_limiter(store, POLICIES) as limiter:
            with pytest.raises(RateLimitError, match="now"):
                await limiter.check("wide", someone(), now=now)

    run(scenario())


def test_charges_must_be_some_and_each_only_once(store: str | None) -> None:
    async def scenario() -> None:
        async with open_limiter(store, POLICIES) as limiter:
            with pytest.raises(RateLimitError, match="empty"):
                await limiter.check_all([])
            with pytest.raises(RateLimitError, match="twice"):
                await limiter.check_all([Charge("wide", Subject.user("a"))] * 2)

    run(scenario())


def test_keys_within_a_process_are_bounded_and_the_longest_unused_goes() -> None:
    async def scenario() -> None:
        async with RateLimiter(None, [NARROW], max_local=3) as limiter:
            users = [someone() for _ in range(4)]
            for user in users[:3]:
                await limiter.check("narrow", user, 2)
            assert not (await limiter.check("narrow", users[0])).allowed
            await limiter.check("narrow", users[3], 2)
            assert limiter.stats().local_keys == 3
            denied = [not (await limiter.check("narrow", users[n])).allowed for n in (0, 2, 3, 1)]
            assert denied == [True, True, True, False]

    run(scenario())
