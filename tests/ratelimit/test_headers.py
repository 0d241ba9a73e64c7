"""What responses say, by draft-ietf-httpapi-ratelimit-headers-11 and RFC 9457."""

from __future__ import annotations

import json
from typing import Any

import http_sf
import pytest

from event_loop import run
from perflab.ratelimit import (
    API,
    AUTH,
    HEAVY,
    Charge,
    Decision,
    Policy,
    Quota,
    RateLimiter,
    fields,
    problem,
    status,
)

from .support import someone

NOW = 1_700_000_000.0
ODD = Policy(name="odd", limit=5, period_s=0.5)
SHADOW = Policy(name="shadow", limit=1, period_s=60, shadow=True)


def decided(*quotas: Quota) -> Decision:
    return Decision(all(one.allowed or one.policy.shadow for one in quotas), quotas)


def said(decision: Decision, **options: Any) -> dict[str, str]:
    found = fields(decision, **options)
    assert len(dict(found)) == len(found)
    return dict(found)


def parsed(value: str) -> dict[str, dict[str, Any]]:
    members: Any = http_sf.parse(value.encode(), tltype="list")
    return {name: dict(parameters) for name, parameters in members}


LEFT = Quota(AUTH, True, "redis", 3, 0.0, 119.2, 880.0)
EXCEEDED = Quota(HEAVY, False, "redis", 0, 4.01, 4.01, 55.0)
OUTAGE = Quota(API, False, "outage", None, 1.0)


def test_fields_of_a_request_that_passes() -> None:
    assert said(decided(LEFT)) == {
        "ratelimit-policy": '"auth";q=10;w=900',
        "ratelimit": '"auth";r=3;t=120',
    }


def test_fields_of_a_request_that_does_not() -> None:
    assert said(decided(LEFT, EXCEEDED)) == {
        "ratelimit-policy": '"auth";q=10;w=900, "heavy";q=10;w=60',
        "ratelimit": '"auth";r=3;t=120, "heavy";r=0;t=5',
        "retry-after": "5",
    }


def test_fields_are_structured_and_of_the_drafts_types() -> None:
    found = said(decided(LEFT, EXCEEDED))
    assert parsed(found["ratelimit-policy"])["heavy"] == {"q": 10, "w": 60}
    assert parsed(found["ratelimit"])["heavy"] == {"r": 0, "t": 5}


def test_a_window_that_is_no_whole_second_is_left_out() -> None:
    found = said(decided(Quota(ODD, True, "redis", 5)))
    assert found == {"ratelimit-policy": '"odd";q=5', "ratelimit": '"odd";r=5'}


def test_what_is_not_known_is_not_said() -> None:
    found = said(decided(OUTAGE))
    assert found == {"ratelimit-policy": '"api";q=1000;w=900', "retry-after": "1"}


def test_nobody_learns_of_a_policy_in_shadow() -> None:
    quota = Quota(SHADOW, False, "redis", 0, 60.0, 60.0, 60.0)
    assert said(decided(quota), legacy=True) == {}
    assert said(decided(quota, LEFT)) == said(decided(LEFT))


def test_legacy_fields_speak_of_the_policy_with_the_least_left() -> None:
    full = Quota(API, True, "redis", 900, 0.0, 0.5, 90.0)
    found = said(decided(full, LEFT), legacy=True, wall=1_000.5)
    assert {name: value for name, value in found.items() if name.startswith("x-")} == {
        "x-ratelimit-limit": "10",
        "x-ratelimit-remaining": "3",
        "x-ratelimit-reset": "1881",
    }
    assert not any(name.startswith("x-") for name in said(decided(full, LEFT)))


def test_the_problem_names_the_violated_policies() -> None:
    decision = decided(LEFT, EXCEEDED, Quota(SHADOW, False, "redis", 0, 9.0))
    assert status(decision) == 429
    assert json.loads(problem(decision)) == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "violated-policies": ["heavy"],
    }


def test_an_outage_is_not_the_clients_fault() -> None:
    decision = decided(OUTAGE)
    assert status(decision) == 503
    body = json.loads(problem(decision))
    assert body["type"].endswith("#temporary-reduced-capacity")
    assert (body["status"], body["violated-policies"]) == (503, ["api"])
    assert status(decided(OUTAGE, EXCEEDED)) == 429


@pytest.mark.parametrize("cost", [1, 3, 10])
@pytest.mark.parametrize("algorithm", ["gcra", "sliding_log", "sliding_counter", "fixed_window"])
def test_who_waits_as_told_passes_and_is_told_no_less_than_the_window(
    algorithm: Any, cost: int
) -> None:
    async def scenario() -> None:
        policy = Policy(name="p", limit=10, period_s=7, algorithm=algorithm)
        async with RateLimiter(None, [policy]) as limiter:
            user = someone()
            for n in range(40):
                now = NOW + n * 0.1
                decision = await limiter.check_all([Charge("p", user, cost)], now=now)
                found = said(decision)
                if decision.allowed:
                    continue
                retry_after = int(found["retry-after"])
                assert retry_after >= parsed(found["ratelimit"])["p"]["t"]
                again = await limiter.check("p", user, cost, now=now + retry_after)
                assert again.allowed
                return
            raise AssertionError("nothing was denied")

    run(scenario())
