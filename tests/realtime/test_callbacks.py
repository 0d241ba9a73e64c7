"""What a user's callbacks may do to a client: nothing, whatever they raise."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from event_loop import run, until
from perflab.realtime import Message, Position, RealtimeError
from perflab.realtime.client import RealtimeClient
from perflab.realtime.client.subscription import Subscription

from .servers import Scene, open_client


async def asynchronous(told: object) -> None:
    raise AssertionError("nobody awaits this")


async def yields(told: object) -> AsyncIterator[int]:
    yield 1


class Asynchronous:
    async def __call__(self, told: object) -> None:
        raise AssertionError("nobody awaits this")


@pytest.mark.parametrize(
    "callback",
    [
        asynchronous,
        functools.partial(asynchronous),
        Asynchronous(),
        functools.partial(Asynchronous()),
        yields,
        "print",
    ],
)
def test_callbacks_that_cannot_work_are_refused_when_they_are_given(
    scene: Scene, callback: Any
) -> None:
    why = "='print': must be a function" if callback == "print" else " is an async function"

    async def scenario() -> None:
        async with scene.hub() as hub, open_client(hub.url) as client:
            with pytest.raises(RealtimeError, match=f"on_message{why}") as caught:
                await client.subscribe("news", callback)
            assert callback == "print" or "async for" in str(caught.value)
            with pytest.raises(RealtimeError, match=f"on_gap{why}"):
                await client.subscribe("news", on_gap=callback)
            with pytest.raises(RealtimeError, match=f"on_state{why}"):
                RealtimeClient([hub.url], on_state=callback)
            await client.subscribe("news")  # nothing was left of the attempts

    run(scenario())


def test_a_client_goes_on_after_callbacks_that_fail(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[bytes] = []

    def takes(message: Message) -> Any:
        got.append(message.data)
        if message.data == b"1":
            raise ValueError("the user's own")
        return asynchronous(message) if message.data == b"2" else None

    def told(transition: object) -> None:
        raise ValueError("the user's own")

    async def scenario() -> None:
        async with scene.hub() as hub, open_client(hub.url, on_state=told) as client:
            news = await client.subscribe("news", takes)
            for number in range(4):
                await client.publish("news", number)
            await until(lambda: len(got) == 4)
            assert got == [b"0", b"1", b"2", b"3"]
            assert news.failed == 2
            assert client.state == "connected"
            assert not client.outages

    with caplog.at_level(logging.ERROR, "perflab.realtime.client.callbacks"):
        run(scenario())
    said = [record.getMessage() for record in caplog.records]
    assert sum("on_message of channel 'news' failed" in line for line in said) == 1
    assert sum("returned a coroutine, which nobody awaits" in line for line in said) == 1
    assert sum("on_state failed" in line for line in said) == 2  # connected, closed


def test_a_gap_is_counted_whatever_its_callback_raises() -> None:
    def missed(position: Position) -> None:
        raise KeyError(position)

    news = Subscription("news", on_message=None, on_gap=missed, queue=9, after=Position("0a", 0, 3))
    news.starts(Position("0b", 0, 0), recovered=False)
    assert (news.gaps, news.failed) == (1, 1)
