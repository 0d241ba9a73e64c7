"""Requests at their own pace upon real tiers, and what the ledger says of each part of a run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from perflab.cache import CachePolicy, MemoryTier, RedisTier, TieredCache
from perflab.cache.ledger import PolicyStats
from perflab.services import Redis
from perflab.studies.prefixes import own_prefix

Floats = NDArray[np.float64]

PATIENT_S: Final = 0.25
"""What a call to Redis may take where hit ratios and latencies are measured: a slow moment of the
machine shall be seen as a slow call, not as a cache that is away."""
LATE_S: Final = 0.02
"""A request sent later than this shows that the generator could not keep its pace."""
MOST_LATE: Final = 0.05
"""The share of late requests above which the generator was the limit."""

_TICK_S: Final = 0.0005
_DURATIONS: Final = ("ttl_s", "memory_ttl_s", "stale_s", "stale_if_error_s", "negative_ttl_s")


def scaled(policy: CachePolicy, factor: float) -> CachePolicy:
    """The policy with every lifetime divided by ``factor``.

    With ``factor`` times the requests per second, each key has as many requests in a lifetime as
    before, and what is a hit stays one. Timeouts of loads are left as they are.
    """
    return msgspec.structs.replace(
        policy, **{name: getattr(policy, name) / factor for name in _DURATIONS}
    )


def own_tier(
    redis: Redis, purpose: str, *, budget_s: float = PATIENT_S, **options: Any
) -> RedisTier:
    """A Redis tier on the lab's server, under keys of its own."""
    return RedisTier(
        options.pop("url", redis.url()),
        prefix=own_prefix(redis, purpose),
        budget_s=budget_s,
        **options,
    )


@asynccontextmanager
async def both_tiers(
    redis: Redis, purpose: str, memory: MemoryTier | None, **options: Any
) -> AsyncIterator[tuple[TieredCache, RedisTier]]:
    """A cache over ``memory`` and a Redis tier of its own; yields both."""
    async with own_tier(redis, purpose, **options) as shared:
        await shared.ping()
        async with TieredCache(memory, shared) as cache:
            yield cache, shared


@dataclass(frozen=True)
class Window:
    """One part of a run."""

    start_s: float
    """Seconds since the first request, on the run's own clock."""
    stats: PolicyStats
    """What the ledger entered in this part, and only there."""


@dataclass(frozen=True)
class Drive:
    """What became of the requests."""

    windows: tuple[Window, ...]
    answers: tuple[object, ...]
    """In the order of the requests; None where one failed."""
    latencies_s: Floats
    """From when a request was due until it was answered."""
    late_share: float
    """Of the requests: sent more than LATE_S after they were due."""
    failed: int
    seconds: float

    @property
    def saturated(self) -> bool:
        """Whether the generator was the limit."""
        return self.late_share > MOST_LATE


async def drive(
    request: Callable[[int], Awaitable[object]],
    codes: Sequence[int],
    due_s: Floats,
    stats: Callable[[], PolicyStats],
    boundaries: Sequence[int],
) -> Drive:
    """Send one request a code when it is due, whether or not others were answered by then.

    ``boundaries`` are positions in ``codes`` at which a new window begins; the first window
    begins with the first request.
    """
    count = len(codes)
    latencies = np.zeros(count)
    answers: list[object] = [None] * count
    failed = late = 0
    starts = [0.0]
    snapshots = [stats()]
    due = due_s.tolist()
    cuts = iter([*boundaries, count + 1])
    cut = next(cuts)
    running: set[asyncio.Task[None]] = set()
    began = time.perf_counter()

    async def one(position: int) -> None:
        nonlocal failed
        try:
            answers[position] = await request(codes[position])
        except Exception:  # noqa: BLE001 - whatever it is, the caller has no answer
            failed += 1
        latencies[position] = time.perf_counter() - began - due[position]

    position = 0
    while position < count:
        now = time.perf_counter() - began
        while position < count and due[position] <= now:
            while position == cut:
                starts.append(due[position])
                snapshots.append(stats())
                cut = next(cuts)
            late += now - due[position] > LATE_S
            task = asyncio.create_task(one(position))
            running.add(task)
            task.add_done_callback(running.discard)
            position += 1
        await asyncio.sleep(_TICK_S)
    if running:
        await asyncio.wait(running)
    snapshots.append(stats())
    parts = zip(starts, snapshots[:-1], snapshots[1:], strict=True)
    return Drive(
        windows=tuple(Window(start, difference(later, earlier)) for start, earlier, later in parts),
        answers=tuple(answers),
        latencies_s=latencies,
        late_share=late / count,
        failed=failed,
        seconds=time.perf_counter() - began,
    )


def difference(later: PolicyStats, earlier: PolicyStats) -> PolicyStats:
    """What was entered between two snapshots of one policy."""
    return PolicyStats(
        policy=later.policy,
        **{
            name: type(part)(**dict(_differences(part, getattr(earlier, name))))
            for name in ("edge", "memory", "redis", "loader", "background")
            for part in (getattr(later, name),)
        },
    )


def _differences(later: Any, earlier: Any) -> Iterator[tuple[str, float]]:
    for name in later.__struct_fields__:
        yield name, getattr(later, name) - getattr(earlier, name)


def poisson_s(count: int, rate_per_s: float, seed: int) -> Floats:
    """When ``count`` requests are due, at random moments of this rate."""
    gaps = np.random.default_rng([seed, 5]).exponential(1 / rate_per_s, count)
    arrivals: Floats = np.cumsum(gaps)
    return arrivals
