from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from event_loop import run
from perflab.own_loop import OwnLoop
from perflab.redis_link import Batcher, Outcome

LONG_S = 60.0


class Server:
    """Doubles numbers, when it is let to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.outcomes: list[Outcome] = []
        self.unclaimed: list[int] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def double(self, numbers: list[int]) -> Sequence[int]:
        self.batches.append(list(numbers))
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return [2 * number for number in numbers]

    def batcher(self, **options: Any) -> Batcher[int, int]:
        settings: dict[str, Any] = {
            "home": OwnLoop("Batcher", RuntimeError),
            "failures": (OSError, TimeoutError),
            "budget_s": LONG_S,
            "give_up_s": LONG_S,
            "max_weight": 100,
            "in_flight": 2,
            "outcome": lambda outcome, began_at: self.outcomes.append(outcome),
            "unclaimed": self.unclaimed.append,
        }
        return Batcher(self.double, **settings | options)


def test_what_is_asked_in_one_tick_is_one_batch() -> None:
    async def scenario() -> None:
        server = Server()
        batcher = server.batcher()
        assert await asyncio.gather(*map(batcher.ask, range(50))) == [2 * n for n in range(50)]
        assert await batcher.ask(7) == 14
        assert server.batches == [list(range(50)), [7]]
        assert server.outcomes == ["answered", "answered"]
        assert batcher.batches == 2

    run(scenario())


def test_a_batch_is_bounded_by_weight() -> None:
    async def scenario() -> None:
        server = Server()
        batcher = server.batcher(max_weight=4)
        asked = [batcher.ask(n, weight) for n, weight in enumerate((3, 1, 2, 9, 1))]
        assert await asyncio.gather(*asked) == [0, 2, 4, 6, 8]
        assert server.batches == [[0, 1], [2], [3], [4]]

    run(scenario())


def test_while_batches_are_out_the_rest_gathers_in_one() -> None:
    async def scenario() -> None:
        server = Server()
        batcher = server.batcher()
        server.open.clear()
        asked = []
        for n in range(6):
            asked.append(batcher.ask(n))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert server.batches == [[0], [1]]
        server.open.set()
        assert await asyncio.gather(*asked) == [0, 2, 4, 6, 8, 10]
        assert server.batches == [[0], [1], [2, 3, 4, 5]]

    run(scenario())


def test_nobody_waits_longer_than_the_budget_sent_or_not() -> None:
    async def scenario() -> None:
        server = Server()
        batcher = server.batcher(budget_s=0.01, in_flight=1)
        server.open.clear()
        sent = batcher.ask(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        queued = batcher.ask(2)
        assert list(await asyncio.gather(sent, queued)) == [None, None]
        assert not server.open.is_set()
        server.open.set()
        assert await batcher.ask(3) == 6
        assert [2] not in server.batches, "sent although nobody waited any more"
        assert server.outcomes == ["slow", "slow", "answered"]

    run(scenario())


def test_a_late_result_is_handed_over_as_unclaimed() -> None:
    async def scenario() -> None:
        server = Server()
        batcher = server.batcher(budget_s=0.01)
        server.open.clear()
        assert await batcher.ask(1) is None
        server.open.set()
        while not server.unclaimed:
            await asyncio.sleep(0)
        assert server.unclaimed == [1]
        assert server.outcomes == ["slow"]

    run(scenario())


def test_a_late_timer_means_a_busy_loop_and_costs_no_answer() -> None:
    async def scenario() -> None:
        server = Server()
        batcher = server.batcher(budget_s=0.05)
        server.open.clear()
        loop = asyncio.get_running_loop()
        asked = batcher.ask(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        end = loop.time() + 0.1
        while loop.time() < end:
            pass  # the loop is blocked past the budget, while the answer arrives
        loop.call_soon(server.open.set)
        assert await asked == 2

    run(scenario())


def test_one_cancelled_caller_takes_nothing_from_the_others() -> None:
    async def scenario() -> None:
        server = Server()
        batcher = server.batcher()
        first, second = batcher.ask(1), batcher.ask(2)
        first.cancel()
        assert await second == 4
        assert server.unclaimed == [1]

    run(scenario())


def test_a_failing_server_answers_nobody_and_a_defect_everybody() -> None:
    async def scenario() -> None:
        server = Server()
        batcher = server.batcher()
        server.error = OSError("gone")
        assert list(await asyncio.gather(batcher.ask(1), batcher.ask(2))) == [None, None]
        assert server.outcomes == ["failed"]
        server.error = ZeroDivisionError()
        with pytest.raises(ZeroDivisionError):
            await batcher.ask(1)

    run(scenario())


def test_a_batch_that_hangs_is_given_up() -> None:
    async def scenario() -> None:
        server = Server()
        batcher = server.batcher(give_up_s=0.01)
        server.open.clear()
        assert await batcher.ask(1) is None
        assert server.outcomes == ["failed"]

    run(scenario())


def test_closing_lets_everybody_go() -> None:
    async def scenario() -> None:
        server = Server()
        batcher = server.batcher(in_flight=1)
        server.open.clear()
        before = asyncio.all_tasks()
        sent = batcher.ask(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) > len(before)
        queued = batcher.ask(2)
        await batcher.close()
        assert list(await asyncio.gather(sent, queued)) == [None, None]
        assert asyncio.all_tasks() == before

    run(scenario())
