"""What the tests of the rate limiter share: a clock's start, limiters with keys of their own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from event_loop import own_prefix
from perflab.ratelimit import DEFAULT_POLICIES, Decision, Policy, RateLimiter, Subject
from perflab.ratelimit.policies import US

START_US = 1_700_000_000 * US
DAY_S = 86_400.0


def someone() -> Subject:
    """A subject that no other test uses."""
    return Subject.user(secrets.token_hex(6))


def open_limiter(
    url: str | None, policies: Iterable[Policy] = DEFAULT_POLICIES, **options: Any
) -> RateLimiter:
    """A limiter with a prefix of its own and a budget that a busy machine does not exhaust."""
    settings: dict[str, Any] = {"prefix": own_prefix(), "budget_s": 20.0, "timeout_s": 30.0}
    return RateLimiter(url, policies, **settings | options)


async def at_times(
    limiter: RateLimiter, policy: str, subject: Subject, asked: Sequence[tuple[int, int]]
) -> list[Decision]:
    """The decisions on checks at times (microseconds) and costs, in one batch and in order."""
    return await asyncio.gather(
        *(limiter.check(policy, subject, cost, now=now_us / US) for now_us, cost in asked)
    )


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
