"""Scenarios in an event loop of their own, and waiting within them."""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_S = 60.0
"""How long a busy machine may take for what is done at once elsewhere."""


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario; a task left behind or an error that nobody saw fails it."""
    complaints: list[dict[str, Any]] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
        before = asyncio.all_tasks()
        async with asyncio.timeout(2 * PATIENCE_S):
            result = await scenario
        await asyncio.sleep(0)
        gc.collect(1)
        assert asyncio.all_tasks() <= before, "a task was left behind"
        return result

    result = asyncio.run(watched())
    assert complaints == []
    return result


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.005)


def answer_at_once(call: Coroutine[Any, Any, T]) -> T:
    """The result of a call that never gives the event loop a turn, let alone the network."""
    try:
        call.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    call.close()
    raise AssertionError("it waited for something")


def own_prefix() -> str:
    """A prefix of keys that no other test uses."""
    return f"test-{secrets.token_hex(6)}:"
