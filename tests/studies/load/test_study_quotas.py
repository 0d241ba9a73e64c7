"""What quotas refuse: the forecast against the limiter itself, and against arithmetic."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.ratelimit import AUTH, HEAVY, Policy, RateLimiter, Subject
from perflab.studies.load.quotas import Past, SlidingLog


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0.001, 30)), min_size=1, max_size=60),
    st.integers(1, 5),
    st.integers(1, 60),
)
def test_forecast_decides_like_the_limiter(
    asked: list[tuple[int, float]], limit: int, period_s: int
) -> None:
    policy = Policy(name="some", limit=limit, period_s=period_s, algorithm="sliding_log")
    times = np.cumsum([round(gap, 6) for _, gap in asked]).round(6)
    log = SlidingLog(policy)

    async def decide() -> list[bool]:
        async with RateLimiter(None, [policy], wall=lambda: 0.0) as limiter:
            return [
                (await limiter.check("some", Subject.user(user), now=1e6 + at)).allowed
                for (user, _), at in zip(asked, times.tolist(), strict=True)
            ]

    mine = log.follow(times + 1e6, np.array([user for user, _ in asked]))
    assert mine.tolist() == asyncio.run(decide())


def test_request_exactly_a_period_after_a_granted_one_is_granted() -> None:
    """The window is half-open, as the limiter's."""
    policy = Policy(name="some", limit=1, period_s=10, algorithm="sliding_log")
    times = np.array([1.0, 10.5, 11.0])

    async def decide() -> list[bool]:
        async with RateLimiter(None, [policy], wall=lambda: 0.0) as limiter:
            return [
                (await limiter.check("some", Subject.user(1), now=at)).allowed
                for at in times.tolist()
            ]

    granted = SlidingLog(policy).follow(times, np.ones(3, dtype=np.int64)).tolist()
    assert granted == asyncio.run(decide()) == [True, False, True]


def test_share_in_the_long_run_is_what_is_asked_beyond_the_quota() -> None:
    """A user who asks for much more than the limit is granted the limit in every period."""
    logins = Past(AUTH, users=100, rate_per_s=20, seed=1)
    assert logins.refused_share == pytest.approx(1 - 10 / 180, abs=0.005)


def test_users_within_their_quota_are_not_refused() -> None:
    assert Past(HEAVY, users=50, rate_per_s=1, seed=1).refused_share == pytest.approx(0, abs=1e-3)


def test_past_holds_what_a_limiter_would_remember_and_users_are_out_of_step() -> None:
    past = Past(AUTH, users=100, rate_per_s=20, seed=1)
    users = np.array([user for _, user in past.granted])
    times = np.array([at for at, _ in past.granted])
    assert np.bincount(users, minlength=100).max() == 10
    assert (times <= 0).all()
    assert (times > -900).all()
    assert (np.diff(times) >= 0).all()
    spread, _ = np.histogram(times, bins=np.linspace(-900, 0, 10))
    assert (spread > 50).all(), "about a hundred in each tenth of the period"


def test_requests_after_the_past_meet_what_it_left() -> None:
    crowded = Past(AUTH, users=100, rate_per_s=20, seed=1)
    everybody = np.arange(100)
    assert crowded.refused_after(np.full(100, 0.5), everybody) > 0.8
    later = Past(AUTH, users=100, rate_per_s=20, seed=1)
    assert later.refused_after(np.full(100, 901.0), everybody) == 0
