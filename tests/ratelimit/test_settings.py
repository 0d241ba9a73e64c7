"""Settings that no limiter can have: one error when they are given, which names the first."""

from __future__ import annotations

import math
from typing import Any

import pytest

from event_loop import run
from perflab.ratelimit import RateLimiter, RateLimitError, Subject


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
