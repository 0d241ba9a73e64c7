"""The guard of ``perflab.redis_link``: asked in batches, left alone while it fails, recovered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import redis.exceptions

from event_loop import run, until
from perflab.errors import PerflabError
from perflab.own_loop import OwnLoop
from perflab.redis_link import Command, Guard, Link, RedisUrlError, insisting, open_link


class Stand:
    """A link to a server that can be away."""

    where = "there:1"
    cluster = False
    client: Any = None

    def __init__(self) -> None:
        self.away = False
        self.closed = False
        self.closings = 0

    async def call(self, command: Command) -> Any:
        if self.away:
            raise redis.exceptions.ConnectionError("refused\nand more")
        return command

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        return [await self.call(command) for command in commands]

    async def close(self) -> None:
        self.closed = True
        self.closings += 1
        if self.away:
            raise OSError


def guard_of(stand: Link, ask: Callable[[], Awaitable[object]], budget_s: float = 20.0) -> Guard:
    return Guard(
        stand,
        home=OwnLoop("Guard", RuntimeError),
        reach=lambda: stand.call(("PING",)),
        probe=ask,
        budget_s=budget_s,
        timeout_s=30.0,
        failures=2,
        probe_s=0.001,
    )


def test_it_stops_asking_after_failures_and_goes_on_when_both_ways_of_asking_work() -> None:
    async def scenario() -> None:
        stand = Stand()
        answers: list[object] = [None, None, 1]
        asked = 0

        async def probe() -> object:
            nonlocal asked
            asked += 1
            return answers.pop(0)

        guard = guard_of(stand, probe)
        calls = guard.batcher(stand.run, max_weight=10)
        stand.away = True
        for _ in range(2):
            assert not guard.circuit.is_open
            assert await calls.ask(("GET",)) is None
        assert guard.circuit.is_open
        await asyncio.sleep(0.02)
        assert asked == 0, "one that cannot be reached is not asked in a batch"
        stand.away = False
        await until(lambda: not guard.circuit.is_open)
        assert asked == 3, "reached, but only the third answer came within the budget"
        assert await calls.ask(("GET",)) == ("GET",)
        await guard.close()

    run(scenario())


def test_what_is_unhurried_waits_longer_and_does_not_open_the_circuit() -> None:
    async def scenario() -> None:
        stand = Stand()
        free = asyncio.Event()
        ended: list[str] = []

        async def slowly(commands: list[Command]) -> list[Any]:
            await free.wait()
            return await stand.run(commands)

        guard = guard_of(stand, lambda: asyncio.sleep(0), budget_s=0.001)
        hurried = guard.batcher(slowly, max_weight=10)
        calls = guard.unhurried(
            slowly, max_weight=10, timeout_s=30.0, outcome=lambda outcome, _: ended.append(outcome)
        )
        late, asked = hurried.ask(("GET",)), calls.ask(("UNLINK",))
        assert await late is None
        free.set()
        assert await asked == ("UNLINK",)
        stand.away = True
        for _ in range(3):
            assert await calls.ask(("UNLINK",)) is None
        assert ended == ["answered", "failed", "failed", "failed"]
        assert not guard.circuit.is_open
        await guard.close()

    run(scenario())


def test_closing_lets_everybody_go_and_leaves_the_circuit_open_whatever_the_link_says() -> None:
    async def scenario() -> None:
        stand = Stand()
        stand.away = True
        guard = guard_of(stand, lambda: asyncio.sleep(0))

        async def never(_commands: list[Command]) -> list[Any]:
            await asyncio.Event().wait()
            return []

        waiting = guard.batcher(never, max_weight=10).ask(("GET",))
        await asyncio.sleep(0)
        await guard.close()
        assert waiting.done(), "without waiting for the budget"
        assert waiting.result() is None
        assert guard.circuit.is_open
        assert stand.closings == 1

    run(scenario())


class Unavailable(PerflabError):
    """Of the caller's package."""


@pytest.mark.parametrize(
    ("advice", "said"),
    [
        ("", "Redis at there:1 sleeps: refused"),
        ("wake it", "Redis at there:1 sleeps: refused; wake it"),
    ],
)
def test_what_must_be_done_fails_in_one_line_of_the_callers_own(advice: str, said: str) -> None:
    async def scenario() -> None:
        stand = Stand()
        async with insisting(stand, 30.0, Unavailable, "sleeps", advice):
            await stand.call(("PING",))
        stand.away = True
        with pytest.raises(Unavailable) as failed:
            async with insisting(stand, 30.0, Unavailable, "sleeps", advice):
                await stand.call(("PING",))
        assert str(failed.value) == said
        assert failed.value.__suppress_context__

    run(scenario())


def test_what_must_be_done_does_not_wait_for_ever_and_hides_no_defect() -> None:
    async def scenario() -> None:
        with pytest.raises(Unavailable, match="sleeps: TimeoutError"):
            async with insisting(Stand(), 0.01, Unavailable, "sleeps"):
                await asyncio.Event().wait()
        with pytest.raises(ZeroDivisionError):
            async with insisting(Stand(), 30.0, Unavailable, "sleeps"):
                raise ZeroDivisionError

    run(scenario())


def test_a_bad_url_is_an_error_of_the_callers_and_shows_nothing_of_itself() -> None:
    for error in (RedisUrlError, Unavailable):
        with pytest.raises(error) as failed:
            open_link("redis://:secret@host:nan/0", cluster=False, timeout_s=1.0, error=error)
        assert "secret" not in str(failed.value)
