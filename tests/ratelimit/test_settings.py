"""Settings that no limiter can have: one error when they are given, which names the first."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest

from event_loop import run
from perflab.ratelimit import (
    API,
    Charge,
    Policy,
    RateLimiter,
    RateLimitError,
    Subject,
)
from perflab.ratelimit.middleware import RateLimitMiddleware, by_path, client_address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("budget_s", math.inf),
        ("budget_s", math.nan),
        ("budget_s", True),
        ("timeout_s", "1"),
        ("probe_s", 1e10),
        ("remember_at_most_s", math.nan),
        ("remember_at_most_s", 0),
        ("failures", 1.5),
        ("max_denied", math.inf),
        ("max_leases", 0),
        ("max_local", None),
        ("cluster", "yes"),
        ("prefix", None),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_when_it_is_given(name: str, value: Any) -> None:
    for url in ("redis://localhost", None):
        with pytest.raises(RateLimitError, match=name):
            RateLimiter(url, **{name: value})


@pytest.mark.parametrize("now", [math.nan, math.inf, "now", -1.0])
def test_a_time_that_is_none_is_refused(now: Any) -> None:
    async def scenario() -> None:
        async with RateLimiter(None) as limiter:
            with pytest.raises(RateLimitError, match="now must be seconds since 1970"):
                await limiter.check("api", Subject.user(1), now=now)

    run(scenario())


SOMEONE = Subject.user(1)


@pytest.mark.parametrize(
    ("charges", "why"),
    [
        (5, "charges must be a list of Charge, not int"),
        ("api", "charges must be a list of Charge, not str"),
        (["api"], "charges must be Charge tuples"),
        ([("api", SOMEONE)], "charges must be Charge tuples"),
        ([Charge(["api"], SOMEONE)], "unknown policy"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_charged_is_named(charges: Any, why: str) -> None:
    async def scenario() -> None:
        async with RateLimiter(None) as limiter:
            with pytest.raises(RateLimitError, match=why):
                await limiter.check_all(charges)
            assert await limiter.check_all(iter([Charge("api", SOMEONE)]))

    run(scenario())


def test_one_policy_is_no_list_of_policies() -> None:
    policies: Any = API
    with pytest.raises(RateLimitError, match="must be a list of Policy structs, not one Policy"):
        RateLimiter(None, policies)


def test_a_decision_is_true_where_the_request_may_pass() -> None:
    async def scenario() -> None:
        async with RateLimiter(None, [Policy(name="once", limit=1, period_s=60)]) as limiter:
            passed = [bool(await limiter.check("once", SOMEONE)) for _ in range(3)]
            assert passed == [True, False, False]

    run(scenario())


def test_a_middleware_that_cannot_work_is_refused_when_it_is_made() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nobody asks it")

    async def later(scope: Any) -> Any:
        raise AssertionError("nobody awaits this")

    class Later:
        async def __call__(self, scope: Any) -> Any:
            raise AssertionError("nobody awaits this")

    async def yields(scope: Any) -> Any:
        yield 1

    limiter: Any = RateLimiter(None)
    asynchronous: Any = Later()
    partly: Any = functools.partial(asynchronous)
    who = client_address()
    makers: tuple[tuple[str, Any], ...] = (
        ("proxies=", lambda: client_address("10.0.0.0/8")),  # type: ignore[arg-type]
        ("who is an async function", lambda: by_path({"/": "api"}, later)),  # type: ignore[arg-type]
        ("who=None: must be a function", lambda: by_path({"/": "api"}, None)),  # type: ignore[arg-type]
        ("cost is an async function", lambda: by_path({"/": "api"}, who, cost=later)),  # type: ignore[arg-type]
        ("must begin with a slash", lambda: by_path({5: "api"}, who)),  # type: ignore[dict-item]
        ("limiter=None", lambda: RateLimitMiddleware(app, None, by_path({}, who))),  # type: ignore[arg-type]
        ("charges is an async", lambda: RateLimitMiddleware(app, limiter, later)),  # type: ignore[arg-type]
        ("charges is an async", lambda: RateLimitMiddleware(app, limiter, asynchronous)),
        ("charges is an async", lambda: RateLimitMiddleware(app, limiter, partly)),
        ("who is an async function", lambda: by_path({"/": "api"}, asynchronous)),
        ("cost is an async function", lambda: by_path({"/": "api"}, who, cost=yields)),
        ("app=None", lambda: RateLimitMiddleware(None, limiter, by_path({}, who))),  # type: ignore[arg-type]
    )
    for why, make in makers:
        with pytest.raises(RateLimitError, match=why):
            make()
