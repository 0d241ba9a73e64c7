"""How old served values get: the lifetimes that the plan names, held against real tiers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd

from perflab.cache import (
    ACTIVE_TASKS,
    ANALYTICS,
    QUERY,
    USER_PROFILE,
    CachePolicy,
    MemoryTier,
)
from perflab.services import Redis
from perflab.studies.cache.driving import both_tiers, scaled
from perflab.studies.loops import in_own_loop

CLAIMED: Final[Mapping[str, CachePolicy]] = {
    "cache.profile.ttl": USER_PROFILE,
    "cache.tasks.ttl": ACTIVE_TASKS,
    "cache.analytics.ttl": ANALYTICS,
    "database.query_cache.ttl": QUERY,
}
"""By claim, the policy whose lifetime it promises."""

SHORTENED_S: Final = 0.5
"""What each policy's lifetime is scaled to, so that several fit into the run."""
_LIFETIMES: Final = 4
_KEYS: Final = 20
_PAUSE_S: Final = 0.002
_LOCAL_S: Final = 1.0
_TAGS: Final = ("ages",)


@dataclass(frozen=True)
class Ages:
    """The oldest values served."""

    by_claim: Mapping[str, float]
    """Seconds since the load began, unscaled."""
    local_s: float
    """Since memory took its copy; real time."""
    served: int
    """Answers under all of them, fresh loads included."""

    def frame(self) -> pd.DataFrame:
        """One row a lifetime: its policy, the factor, the oldest value served."""
        rows = [
            {
                "what": f"policy {policy.name}",
                "ttl_s": policy.ttl_s,
                "stale_s": policy.stale_s,
                "factor": policy.ttl_s / SHORTENED_S,
                "oldest_s": self.by_claim[claim],
            }
            for claim, policy in CLAIMED.items()
        ]
        local = {"what": "a local copy", "ttl_s": QUERY.memory_ttl_s, "stale_s": 0.0}
        return pd.DataFrame([*rows, {**local, "factor": 1.0, "oldest_s": self.local_s}])


def measure_ages(redis: Redis, lifetimes: float = _LIFETIMES, local_s: float = _LOCAL_S) -> Ages:
    """Ask for a few keys of every policy without a pause and note how old the answers are.

    The value of a key is the moment at which its load began. Lifetimes are scaled to
    SHORTENED_S; a local copy lives its real 0.3 s.
    """
    return in_own_loop(_measure(redis, lifetimes, local_s))


async def _measure(redis: Redis, lifetimes: float, local_s: float) -> Ages:
    async with both_tiers(redis, "ages", MemoryTier()) as (cache, _shared):
        oldest = dict.fromkeys(CLAIMED, 0.0)
        served = 0

        async def watch(claim: str, policy: CachePolicy, number: int) -> None:
            nonlocal served
            end = time.monotonic() + lifetimes * SHORTENED_S
            factor = policy.ttl_s / SHORTENED_S
            shortened = scaled(policy, factor)
            while time.monotonic() < end:
                asked_at = time.monotonic()  # the answer is given later: no age is overstated
                loaded_at = await cache.get_or_load(f"{claim}:{number}", _moment, shortened, _TAGS)
                oldest[claim] = max(oldest[claim], (asked_at - loaded_at) * factor)
                served += 1
                await asyncio.sleep(_PAUSE_S)

        async with asyncio.TaskGroup() as group:
            for claim, policy in CLAIMED.items():
                for number in range(_KEYS):
                    group.create_task(watch(claim, policy, number))
        local = await _oldest_copy(redis, local_s)
    return Ages(by_claim=oldest, local_s=local, served=served)


async def _moment() -> float:
    return time.monotonic()


async def _oldest_copy(redis: Redis, seconds: float) -> float:
    """The greatest age that a copy in memory was served at, by the tier's own clock."""
    read_at = 0.0

    def clock() -> float:
        nonlocal read_at
        read_at = time.monotonic()
        return read_at

    memory = MemoryTier(clock=clock)
    async with both_tiers(redis, "copy", memory) as (cache, _shared):
        end = time.monotonic() + seconds
        taken_at = oldest = 0.0
        while time.monotonic() < end:
            if memory.get("copy") is None:
                await cache.get_or_load("copy", _moment, QUERY, _TAGS)
                taken_at = read_at
            else:
                oldest = max(oldest, read_at - taken_at)
            await asyncio.sleep(0)
    return oldest
