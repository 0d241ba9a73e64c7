"""What the tests of real time share: scenarios, waiting, logs with keys of their own."""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from perflab.realtime import ChannelLog

T = TypeVar("T")

PATIENCE_S = 30.0


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
        left = asyncio.all_tasks() - before
        assert not left, f"left behind: {left}"
        return result

    result = asyncio.run(watched())
    assert complaints == []
    return result


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.005)


def own_prefix() -> str:
    """A prefix that no other test uses."""
    return f"test-{secrets.token_hex(6)}:"


def open_log(url: str, prefix: str | None = None, **options: Any) -> ChannelLog:
    """A log with a budget that a busy machine does not exhaust."""
    settings: dict[str, Any] = {"prefix": prefix or own_prefix(), "budget_s": 20.0}
    return ChannelLog(url, **(settings | options))
