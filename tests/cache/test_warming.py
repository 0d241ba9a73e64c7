"""Warming: the most critical first, so many at once, one failure alone."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.entry import CacheError
from perflab.cache.loading import Loader
from perflab.cache.policy import CachePolicy
from perflab.cache.warming import Warm, most_critical, warm

from .stand_ins import SharedStandIn, monotonic, run, tiered

POLICY = CachePolicy(name="p", ttl_s=60.0, memory_ttl_s=60.0)


class Source:
    """Notes in which order it is asked and how many loads run at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.running = self.most = 0
        self.broken: set[int] = set()

    def of(self, number: int) -> Loader:
        async def load() -> int:
            self.asked.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(1.0)
            self.running -= 1
            if number in self.broken:
                raise ValueError("no row")
            return number

        return load

    def values(self, count: int) -> list[Warm]:
        return [Warm(f"user:{n}", self.of(n), POLICY, (f"user:{n}",)) for n in range(count)]


def test_values_are_loaded_in_order_a_few_at_a_time_and_then_are_hits() -> None:
    async def scenario() -> None:
        source = Source()
        async with tiered(SharedStandIn()) as cache:
            report = await warm(cache, source.values(20), concurrency=4)
            assert (report.loaded, report.already, report.failed, report.skipped) == (20, 0, 0, 0)
            assert source.most == 4
            assert source.asked == list(range(20))
            answer = await cache.trace("user:7", source.of(7), POLICY, ["user:7"])
            assert (answer.memory, answer.value) == ("hit", 7)
            assert cache.stats().ledger.total.background.refreshes == 20

    run(scenario)


def test_what_is_there_already_is_not_loaded_again() -> None:
    async def scenario() -> None:
        source, shared = Source(), SharedStandIn()
        async with tiered(shared) as other, tiered(shared) as cache:
            await warm(other, source.values(3))
            report = await warm(cache, source.values(5))
            assert (report.loaded, report.already) == (2, 3)

    run(scenario)


def test_failures_are_told_and_leave_the_others_alone() -> None:
    async def scenario() -> None:
        source = Source()
        source.broken = set(range(0, 20, 2))
        async with tiered() as cache:
            report = await warm(cache, source.values(20))
            assert (report.loaded, report.failed) == (10, 10)
            assert report.reasons[0] == "user:0: ValueError: no row"
            assert len(report.reasons) == 5

    run(scenario)


def test_no_load_begins_after_the_budget() -> None:
    async def scenario() -> None:
        source = Source()
        async with tiered() as cache:
            report = await warm(
                cache, source.values(20), concurrency=2, budget_s=2.5, clock=monotonic
            )
            assert (report.loaded, report.skipped) == (6, 14)
            assert report.seconds == pytest.approx(3.0)
            assert source.running == 0

    run(scenario)


def test_progress_counts_up_to_the_total() -> None:
    seen: list[tuple[int, int]] = []

    async def scenario() -> None:
        source = Source()
        source.broken = {1}
        async with tiered() as cache:
            await warm(
                cache, source.values(5), step=lambda _, done, total: seen.append((done, total))
            )

    run(scenario)
    assert seen == [(done, 5) for done in range(1, 6)]


def test_cancelling_it_ends_it() -> None:
    async def scenario() -> None:
        source = Source()
        async with tiered() as cache:
            warming = asyncio.ensure_future(warm(cache, source.values(20), concurrency=2))
            await asyncio.sleep(1.5)
            warming.cancel()
            with pytest.raises(asyncio.CancelledError):
                await warming
            await asyncio.sleep(5.0)
            assert len(source.asked) == 4

    run(scenario)


def test_nothing_to_warm_is_no_mistake_but_no_concurrency_is() -> None:
    async def scenario() -> None:
        async with tiered() as cache:
            assert (await warm(cache, [])).loaded == 0
            with pytest.raises(CacheError, match="concurrency=0"):
                await warm(cache, [], concurrency=0)

    run(scenario)


@given(
    weights=st.dictionaries(st.integers(), st.integers(0, 5), max_size=30), count=st.integers(0, 40)
)
def test_the_most_critical_are_those_with_the_largest_weights(
    weights: dict[int, float], count: int
) -> None:
    users = list(weights)
    expected = sorted(users, key=lambda user: (-weights[user], users.index(user)))[:count]
    assert most_critical(weights, count) == expected


def test_a_negative_number_of_users_is_refused() -> None:
    with pytest.raises(CacheError, match="count=-1"):
        most_critical({}, -1)
