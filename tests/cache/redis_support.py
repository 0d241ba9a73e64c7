"""What the tests of the Redis tier share: tiers with a prefix of their own, and short cuts."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from perflab.cache.entry import Entry
from perflab.cache.redis import RedisTier

T = TypeVar("T")


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario to its end, within a limit that only a defect reaches."""
    return asyncio.run(asyncio.wait_for(scenario, 120))


def own_prefix() -> str:
    """A prefix that no other test uses."""
    return f"test-{secrets.token_hex(6)}:"


def open_tier(url: str, **options: Any) -> RedisTier:
    """A tier with a prefix of its own and a budget that a busy machine does not exhaust."""
    settings: dict[str, Any] = {"prefix": own_prefix(), "budget_s": 20.0, "timeout_s": 30.0}
    return RedisTier(url, **settings | options)


def entry(
    value: Any, tags: Sequence[str] = (), *, lasts_s: float = 60.0, stale_s: float = 0.0
) -> Entry:
    """An entry whose load began now."""
    now = time.time()
    return Entry(value, now, now + lasts_s, now + lasts_s + stale_s, 0.01, tuple(tags))


async def store(tier: RedisTier, key: str, value: Any, tags: Sequence[str] = ()) -> None:
    """Put a value under a key."""
    lease = await tier.lease(key, tags)
    assert lease is not None
    assert await tier.fill(lease, entry(value, tags))
