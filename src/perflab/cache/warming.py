"""Warming: loading what matters most before anybody asks for it."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

import msgspec

from perflab.arguments import check_kind, check_seconds, check_whole
from perflab.cache.entry import CacheError
from perflab.cache.loading import Loader
from perflab.cache.policy import CachePolicy
from perflab.cache.tiered import TieredCache

U = TypeVar("U")

Step: TypeAlias = Callable[[str, int, int], None]
"""``step(what, done, total)``: called as often as work is done, cheap to call."""

REASONS: Final = 5
"""So many failures are kept in a report word by word."""


class Warm(msgspec.Struct, frozen=True):
    """One value to load: the arguments of ``TieredCache.get_or_load``."""

    key: str
    loader: Loader
    policy: CachePolicy
    tags: tuple[str, ...] = ()


class WarmReport(msgspec.Struct, frozen=True, kw_only=True):
    """What warming did."""

    loaded: int
    """Values that are in the cache because of it."""
    already: int
    """Values that were there."""
    failed: int
    skipped: int
    """Values left out because the time was up."""
    seconds: float
    reasons: tuple[str, ...]
    """Of the first failures: key and error."""


def most_critical(weights: Mapping[U, float], count: int) -> list[U]:
    """The ``count`` users with the largest weights, the largest first.

    A good weight is what a cold cache would cost: the requests expected of a user times the
    time that loading that user's data takes. Users of equal weight stay in the given order.
    """
    if count < 0:
        raise CacheError(f"count={count}: the number of users to warm is at least 0")
    ranked = heapq.nsmallest(
        count, enumerate(weights.items()), key=lambda item: (-item[1][1], item[0])
    )
    return [user for _, (user, _) in ranked]


async def warm(
    cache: TieredCache,
    values: Sequence[Warm],
    *,
    concurrency: int = 8,
    budget_s: float | None = None,
    step: Step | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> WarmReport:
    """Load ``values`` that are not in the cache, the first ones first.

    A failed load is counted and leaves the others alone. Warming enters no requests into the
    ledger.

    Args:
        cache: to be warmed.
        values: in the order of their importance.
        concurrency: how many loads run at once, so that the source is not flooded.
        budget_s: after that no further load begins; those under way end.
        step: told of the progress.
        clock: monotonic seconds.
    """
    check_kind("cache", cache, TieredCache, CacheError)
    if not isinstance(values, Sequence) or not all(isinstance(one, Warm) for one in values):
        raise CacheError("values must be a list of Warm structs")
    check_whole("concurrency", concurrency, CacheError)
    if budget_s is not None:
        check_seconds("budget_s", budget_s, CacheError, zero=True, endless=True)
    warming = _Warming(cache, values, step, clock, budget_s)
    workers = min(concurrency, len(values))
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(warming.work())
    return warming.report()


class _Warming:
    def __init__(
        self,
        cache: TieredCache,
        values: Sequence[Warm],
        step: Step | None,
        clock: Callable[[], float],
        budget_s: float | None,
    ) -> None:
        self._cache = cache
        self._total = len(values)
        self._rest: Iterator[Warm] = iter(values)
        self._step = step
        self._clock = clock
        self._began_at = clock()
        self._ends_at = None if budget_s is None else self._began_at + budget_s
        self._loaded = self._already = self._failed = 0
        self._reasons: list[str] = []

    async def work(self) -> None:
        """Take the next value, until there is none or the time is up."""
        while self._ends_at is None or self._clock() < self._ends_at:
            value = next(self._rest, None)
            if value is None:
                return
            await self._load(value)
            if self._step is not None:
                self._step(value.key, self._done, self._total)

    def report(self) -> WarmReport:
        """What was done."""
        return WarmReport(
            loaded=self._loaded,
            already=self._already,
            failed=self._failed,
            skipped=self._total - self._done,
            seconds=self._clock() - self._began_at,
            reasons=tuple(self._reasons),
        )

    @property
    def _done(self) -> int:
        return self._loaded + self._already + self._failed

    async def _load(self, value: Warm) -> None:
        try:
            loaded = await self._cache.prefetch(value.key, value.loader, value.policy, value.tags)
        except Exception as error:  # noqa: BLE001 - whatever a loader raises, the others go on
            self._failed += 1
            if len(self._reasons) < REASONS:
                self._reasons.append(f"{value.key}: {type(error).__name__}: {error}")
        else:
            self._loaded += loaded
            self._already += not loaded
