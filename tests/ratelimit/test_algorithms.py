"""Every algorithm in both stores against its model, and the worst that each admits."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.ratelimit import Policy, RateLimiter
from perflab.ratelimit.policies import ALGORITHMS, US, Algorithm

from .models import MODELS, wait
from .support import START_US, at_times, open_limiter, someone

PERIOD_S = 7.0
PERIOD_US = 7 * US
EXAMPLES = settings(max_examples=25, deadline=None)

POLICIES = [
    # 7 s are no multiple of 3 microseconds: the interval is rounded
    *(
        Policy(name=f"{algorithm}-{limit}", limit=limit, period_s=PERIOD_S, algorithm=algorithm)
        for algorithm in ALGORITHMS
        for limit in (1, 3, 10)
    ),
    Policy(name="gcra-burst", limit=10, period_s=PERIOD_S, burst=4),
]
BY_NAME = {policy.name: policy for policy in POLICIES}
OF: dict[Algorithm, list[str]] = {
    algorithm: [one.name for one in POLICIES if one.algorithm == algorithm]
    for algorithm in ALGORITHMS
}

EDGES = [0, 1, US, *(PERIOD_US // n + d for n in (1, 2, 3, 10) for d in (-1, 0, 1)), 2 * PERIOD_US]
gaps = st.one_of(st.sampled_from(EDGES), st.integers(0, PERIOD_US))
starts = st.integers(START_US, START_US + 2 * PERIOD_US)


@pytest.fixture(scope="module")
def limiter(store: str | None, runner: asyncio.Runner) -> Iterator[RateLimiter]:
    opened = open_limiter(store, POLICIES)
    runner.run(opened.ping())
    yield opened
    runner.run(opened.close())


@st.composite
def asked(draw: st.DrawFn, policy: Policy) -> list[tuple[int, int]]:
    """Times that never go back, and costs."""
    costs = st.one_of(st.just(1), st.integers(1, policy.capacity))
    steps = draw(st.lists(st.tuples(gaps, costs), min_size=1, max_size=40))
    times = itertools.accumulate((gap for gap, _ in steps), initial=draw(starts))
    return list(zip(itertools.islice(times, 1, None), (cost for _, cost in steps), strict=True))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@EXAMPLES
@given(data=st.data())
def test_every_decision_is_the_models(
    algorithm: Algorithm, limiter: RateLimiter, runner: asyncio.Runner, data: st.DataObject
) -> None:
    policy = BY_NAME[data.draw(st.sampled_from(OF[algorithm]))]
    steps = data.draw(asked(policy))
    decisions = runner.run(at_times(limiter, policy.name, someone(), steps))
    model = MODELS[algorithm](policy)
    longest = 3 * PERIOD_US
    for (now, cost), decision in zip(steps, decisions, strict=True):
        (quota,) = decision.quotas
        assert decision.allowed == quota.allowed == (model.room(now) >= cost)
        assert round(quota.retry_after_s * US) == wait(model, now, cost, longest)
        if decision.allowed:
            model.take(now, cost)
        room = model.room(now)
        assert quota.remaining == room
        more = wait(model, now, room + 1, longest) if room < model.size else 0
        assert round(quota.next_s * US) == more
        assert round(quota.reset_s * US) == wait(model, now, model.size, longest)


@pytest.mark.parametrize("name", [policy.name for policy in POLICIES])
def test_a_denied_request_passes_when_it_was_told_and_no_microsecond_earlier(
    name: str, limiter: RateLimiter, runner: asyncio.Runner
) -> None:
    policy, user = BY_NAME[name], someone()
    for cost in {1, policy.capacity}:
        start = START_US + 20 * PERIOD_US * cost
        full = [(start, 1)] * policy.capacity
        *filled, denied = runner.run(at_times(limiter, name, user, [*full, (start, cost)]))
        assert all(one.allowed for one in filled)
        wait_us = round(denied.retry_after_s * US)
        assert 0 < wait_us <= 2 * PERIOD_US
        early, then = runner.run(
            at_times(limiter, name, user, [(start + wait_us - 1, cost), (start + wait_us, cost)])
        )
        assert not early.allowed
        assert early.retry_after_s == 1e-6
        assert then.allowed


def most_in_a_period(admitted: Sequence[tuple[int, int]]) -> int:
    """The most units admitted in any half-open window of one period."""
    return max(
        sum(cost for at, cost in admitted if start <= at < start + PERIOD_US)
        for start, _ in admitted
    )


WORST = {
    "sliding_log": lambda policy: policy.limit,
    "gcra": lambda policy: policy.capacity + policy.limit - 1,
    "sliding_counter": lambda policy: 2 * policy.limit,
    "fixed_window": lambda policy: 2 * policy.limit,
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@EXAMPLES
@given(data=st.data())
def test_no_window_admits_more_than_the_bound(
    algorithm: Algorithm, limiter: RateLimiter, runner: asyncio.Runner, data: st.DataObject
) -> None:
    policy = BY_NAME[data.draw(st.sampled_from(OF[algorithm]))]
    start = data.draw(starts)
    # a client that asks all the time, and in bursts now and then
    bursts = data.draw(st.lists(st.sampled_from(EDGES), min_size=1, max_size=4))
    times = list(itertools.accumulate(bursts, initial=start)) * policy.capacity
    pause = PERIOD_US // (2 * policy.limit) + data.draw(st.integers(-1, 1))
    times += range(start, start + 2 * PERIOD_US, pause)
    steps = [(at, 1) for at in sorted(times)]
    decisions = runner.run(at_times(limiter, policy.name, someone(), steps))
    admitted = [step for step, made in zip(steps, decisions, strict=True) if made.allowed]
    assert most_in_a_period(admitted) <= WORST[algorithm](policy)


@pytest.mark.parametrize(
    ("name", "offsets_us", "worst"),
    [
        ("sliding_log-10", [*[0] * 10, *range(0, PERIOD_US, US // 10)], 10),
        ("gcra-10", [*[0] * 10, *range(0, PERIOD_US, US // 10)], 19),
        ("gcra-burst", [*[0] * 10, *range(0, PERIOD_US, US // 10)], 13),
        ("sliding_counter-10", [*[-1] * 10, *range(0, PERIOD_US - 1, US // 10), PERIOD_US - 2], 20),
        ("fixed_window-10", [*[-1] * 10, *[0] * 10], 20),
    ],
)
def test_the_bound_is_reached(
    name: str, offsets_us: list[int], worst: int, limiter: RateLimiter, runner: asyncio.Runner
) -> None:
    boundary = START_US - START_US % PERIOD_US + PERIOD_US
    steps = [(boundary + offset, 1) for offset in offsets_us]
    decisions = runner.run(at_times(limiter, name, someone(), steps))
    admitted = [step for step, made in zip(steps, decisions, strict=True) if made.allowed]
    assert most_in_a_period(admitted) == worst == WORST[BY_NAME[name].algorithm](BY_NAME[name])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_denied_request_changes_nothing(
    algorithm: Algorithm, limiter: RateLimiter, runner: asyncio.Runner
) -> None:
    start = START_US - START_US % PERIOD_US
    full = [(start, 1)] * 10
    name = f"{algorithm}-10"
    alone = runner.run(at_times(limiter, name, someone(), [*full, (start + 3 * US, 2)]))
    tries = [(start + 2 * US, 10)] * 20
    pestered = runner.run(at_times(limiter, name, someone(), [*full, *tries, (start + 3 * US, 2)]))
    assert not any(one.allowed for one in pestered[10:30])
    assert alone[-1] == pestered[-1]


@EXAMPLES
@given(data=st.data())
def test_the_stores_agree_though_the_clock_goes_back(
    redis_url: str,
    runner: asyncio.Runner,
    both: tuple[RateLimiter, RateLimiter],
    data: st.DataObject,
) -> None:
    policy = data.draw(st.sampled_from(POLICIES))
    times = st.integers(START_US, START_US + 3 * PERIOD_US)
    costs = st.integers(1, policy.capacity)
    steps = data.draw(st.lists(st.tuples(times, costs), min_size=1, max_size=40))
    redis, local = (
        runner.run(at_times(limiter, policy.name, someone(), steps)) for limiter in both
    )
    assert [
        (one.allowed, one.quotas[0].remaining, one.retry_after_s, one.quotas[0].reset_s)
        for one in redis
    ] == [
        (one.allowed, one.quotas[0].remaining, one.retry_after_s, one.quotas[0].reset_s)
        for one in local
    ]


@pytest.fixture(scope="module")
def redis_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("redis_server").url()
    return url


@pytest.fixture(scope="module")
def both(redis_url: str, runner: asyncio.Runner) -> Iterator[tuple[RateLimiter, RateLimiter]]:
    limiters = open_limiter(redis_url, POLICIES), open_limiter(None, POLICIES)
    yield limiters
    for limiter in limiters:
        runner.run(limiter.close())
