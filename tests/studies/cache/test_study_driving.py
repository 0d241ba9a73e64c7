"""Requests at their own pace: who waits, what is counted, and in which part of the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.cache import QUERY, USER_PROFILE, Ledger
from perflab.cache.ledger import Outcome, PolicyStats, TierStats, Trail
from perflab.services import Redis
from perflab.studies.cache.driving import (
    LATE_S,
    MOST_LATE,
    Drive,
    both_tiers,
    difference,
    drive,
    poisson_s,
    scaled,
)
from perflab.studies.prefixes import own_prefix

T = TypeVar("T")
Request = Callable[[int], Awaitable[object]]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, within a limit that only a defect reaches."""
    return asyncio.run(asyncio.wait_for(work, 60))


def driven(
    request: Request,
    codes: Sequence[int],
    due_s: Sequence[float],
    boundaries: Sequence[int] = (),
    ledger: Ledger | None = None,
) -> Drive:
    books = ledger or Ledger()
    return run(drive(request, codes, np.array(due_s), lambda: books.stats().total, boundaries))


def entered(ledger: Ledger, memory: Outcome = "hit", policy: str = "p") -> None:
    trail = Trail(memory)
    if memory == "hit":
        trail.redis = trail.loader = None
    else:
        trail.redis, trail.loader, trail.load_s = "miss", "hit", 0.25
    ledger.books[policy].enter(trail)


async def at_once(code: int) -> int:
    return code


# --- requests --------------------------------------------------------------------------------


def test_a_request_is_sent_whether_or_not_the_earlier_ones_were_answered() -> None:
    asked = asyncio.Event()

    async def request(code: int) -> int:
        if code:
            asked.set()
        else:
            await asked.wait()
        return code

    assert driven(request, [0, 1], [0.0, 0.005]).answers == (0, 1)


def test_answers_stand_in_the_order_of_the_requests_not_of_their_arrival() -> None:
    answered: list[int] = []
    turns = {code: asyncio.Event() for code in range(6)}
    turns[5].set()

    async def request(code: int) -> str:
        await turns[code].wait()
        answered.append(code)
        if code:
            turns[code - 1].set()
        return f"answer {code}"

    found = driven(request, range(6), [0.0] * 6)
    assert answered == [5, 4, 3, 2, 1, 0]
    assert found.answers == tuple(f"answer {code}" for code in range(6))


def test_a_request_that_fails_is_counted_and_has_no_answer() -> None:
    async def request(code: int) -> int:
        if code % 2:
            raise OSError("away")
        return code

    found = driven(request, [2, 3, 5, 8], [0.0] * 4)
    assert found.answers == (2, None, None, 8)
    assert found.failed == 2


def test_no_request_is_sent_before_it_is_due() -> None:
    began = time.perf_counter()
    asked_at: list[float] = []

    async def request(_code: int) -> None:
        asked_at.append(time.perf_counter() - began)

    due_s = [0.0, 0.03, 0.031, 0.06]
    found = driven(request, [0] * 4, due_s)
    assert all(at >= due for at, due in zip(asked_at, due_s, strict=True))
    assert (found.latencies_s > 0).all()
    assert (found.latencies_s <= found.seconds - np.array(due_s)).all(), "from when it was due"


def test_what_a_busy_process_cannot_send_in_time_is_late_and_its_wait_is_latency() -> None:
    """The first request stops the event loop: the ones due meanwhile are sent after it."""
    held_s = 3 * LATE_S

    async def request(code: int) -> None:
        if not code:
            time.sleep(held_s)

    due_s = [0.0, *(LATE_S * n / 10 for n in range(1, 10))]
    found = driven(request, range(10), due_s)
    assert found.late_share >= 0.9
    assert found.saturated
    assert (found.latencies_s >= held_s - np.array(due_s)).all()


@pytest.mark.parametrize(("share", "saturated"), [(0.0, False), (MOST_LATE, False), (0.06, True)])
def test_the_generator_was_the_limit_where_too_many_were_late(
    share: float, saturated: bool
) -> None:
    found = driven(at_once, [0], [0.0])
    assert Drive(found.windows, (), found.latencies_s, share, 0, 1.0).saturated is saturated


# --- windows ---------------------------------------------------------------------------------


def test_each_window_has_what_was_entered_in_it_and_begins_when_its_first_request_is_due() -> None:
    ledger = Ledger()

    async def request(code: int) -> None:
        entered(ledger, "hit" if code else "miss")

    codes = [0, 1, 1, 0, 0, 0, 1, 1, 1, 1]
    due_s = [*(0.001 * n for n in range(3)), *(0.15 + 0.001 * n for n in range(3)),
             *(0.3 + 0.001 * n for n in range(4))]  # fmt: skip
    found = driven(request, codes, due_s, [3, 6], ledger)
    memory = [window.stats.memory for window in found.windows]
    assert [(tier.hits, tier.misses) for tier in memory] == [(2, 1), (0, 3), (4, 0)]
    assert [window.stats.loader.seconds for window in found.windows] == [0.25, 0.75, 0.0]
    assert [window.start_s for window in found.windows] == [0.0, 0.15, 0.3]


def test_what_was_entered_before_the_run_is_in_no_window() -> None:
    ledger = Ledger()
    entered(ledger)

    async def request(_code: int) -> None:
        entered(ledger)

    found = driven(request, [0, 0], [0.0, 0.01], [1], ledger)
    assert sum(window.stats.requests for window in found.windows) == 2


def test_a_run_without_boundaries_is_one_window() -> None:
    assert len(driven(at_once, [0, 0], [0.0, 0.0]).windows) == 1


def test_a_window_without_requests_is_a_window_all_the_same() -> None:
    """A trace with fewer requests than windows gives windows without a figure, not fewer."""
    ledger = Ledger()

    async def request(_code: int) -> None:
        entered(ledger)

    found = driven(request, [0] * 3, [0.0, 0.1, 0.2], [1, 1, 2], ledger)
    assert [window.stats.requests for window in found.windows] == [1, 0, 1, 1]


# --- snapshots -------------------------------------------------------------------------------

OUTCOMES = st.lists(
    st.tuples(st.sampled_from(["hit", "miss"]), st.sampled_from(["p", "q"])), max_size=20
)


@settings(max_examples=40)
@given(OUTCOMES, OUTCOMES)
def test_the_difference_of_two_snapshots_is_what_was_entered_between_them(
    before: list[tuple[Outcome, str]], after: list[tuple[Outcome, str]]
) -> None:
    whole, between = Ledger(), Ledger()
    for memory, policy in before:
        entered(whole, memory, policy)
    earlier = whole.stats().total
    for memory, policy in after:
        entered(whole, memory, policy)
        entered(between, memory, policy)
        for ledger in (whole, between):
            ledger.books[policy].enter_refresh(0.5, adopted=memory == "hit", failed=False)
    assert difference(whole.stats().total, earlier) == between.stats().total
    assert difference(earlier, earlier) == Ledger().stats().total


def test_every_column_of_a_snapshot_is_subtracted() -> None:
    names = TierStats.__struct_fields__
    tier = TierStats(**{name: 10 * n for n, name in enumerate(names, 1)})
    less = TierStats(**{name: n for n, name in enumerate(names, 1)})
    empty = Ledger().stats().total
    later, earlier = (
        PolicyStats(policy="p", edge=t, memory=t, redis=t, loader=t, background=empty.background)
        for t in (tier, less)
    )
    found = difference(later, earlier)
    assert found.policy == "p"
    for part in (found.edge, found.memory, found.redis, found.loader):
        assert msgspec.structs.astuple(part) == tuple(9 * n for n in range(1, len(names) + 1))


# --- times and names -------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.floats(0.1, 1e4), st.integers(0, 2**32 - 1))
def test_arrivals_come_at_their_rate_and_at_random(rate: float, seed: int) -> None:
    count = 20_000
    at_s = poisson_s(count, rate, seed)
    gaps = np.diff(at_s, prepend=0.0) * rate
    assert (gaps >= 0).all()
    # six standard errors of a mean and of a variance of exponential gaps
    assert abs(gaps.mean() - 1) < 6 / np.sqrt(count)
    assert abs(gaps.var() - 1) < 6 * np.sqrt(8 / count)
    assert (poisson_s(count, rate, seed) == at_s).all()


def test_another_seed_gives_other_arrivals() -> None:
    assert (poisson_s(10, 1.0, 1) != poisson_s(10, 1.0, 2)).all()


@pytest.mark.parametrize("policy", [QUERY, USER_PROFILE], ids=lambda policy: policy.name)
def test_a_scaled_policy_has_shorter_lifetimes_and_nothing_else_changed(policy: Any) -> None:
    found = scaled(policy, 8.0)
    names = ("ttl_s", "memory_ttl_s", "stale_s", "stale_if_error_s", "negative_ttl_s")
    for name in policy.__struct_fields__:
        factor = 8.0 if name in names else 1.0
        was = getattr(policy, name)
        assert getattr(found, name) == (was / factor if factor > 1 else was), name
    assert scaled(found, 1 / 8) == policy


def test_keys_of_a_purpose_are_the_labs_and_no_other_purposes(redis_server: Redis) -> None:
    one, other = own_prefix(redis_server, "x"), own_prefix(redis_server, "x")
    assert one != other
    assert one.startswith(f"{redis_server.prefix}x-")


def test_both_tiers_answer_and_keep_to_their_own_keys(redis_server: Redis) -> None:
    loads: list[str] = []

    async def scenario() -> None:
        for _ in range(2):
            async with both_tiers(redis_server, "both", None) as (cache, shared):

                async def load() -> str:
                    loads.append("x")
                    return "value"

                for _ in range(2):
                    assert await cache.get_or_load("k", load, QUERY, ("t",)) == "value"
                assert shared.stats().hits == 1

    run(scenario())
    assert len(loads) == 2, "the second cache did not find the first one's value"
