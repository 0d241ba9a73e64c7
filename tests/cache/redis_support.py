"""What the tests of the Redis tier share: tiers with a prefix of their own, and short cuts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from event_loop import own_prefix
from perflab.cache.entry import Entry
from perflab.cache.redis import RedisTier


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
