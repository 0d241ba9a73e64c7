"""Calling a loader, whatever kind of function it is, for at most so long."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from perflab.arguments import is_async
from perflab.cache.entry import CacheError

Loader: TypeAlias = Callable[[], Awaitable[Any]] | Callable[[], Any]
"""What fetches a value from its source.

A coroutine function, also one that is an object's call or in a ``functools.partial``, is awaited
in the event loop; any other callable runs in a thread, and what
it returns is awaited if it can be.
"""


class LoadTimeout(CacheError):
    """A loader took longer than its policy's ``hard_timeout_s``, and nothing stale was at hand."""


async def call_loader(loader: Loader, timeout_s: float, what: str) -> Any:
    """The loader's value; its exception; or LoadTimeout after ``timeout_s``.

    A coroutine is cancelled at the timeout. A thread cannot be: it runs to its end, and its
    value is dropped. ``what`` names the load in messages.
    """
    try:
        async with asyncio.timeout(timeout_s) as limit:
            value = await _call(loader)
    except TimeoutError:
        if not limit.expired():
            raise  # the loader's own
        raise LoadTimeout(
            f"loading {what} took longer than {timeout_s:g} s; make the loader faster or raise"
            " hard_timeout_s of its policy"
        ) from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise CacheError(f"the loader of {what} was cancelled from inside") from None
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        raise CacheError(
            f"the loader of {what} is a generator, which can be read once; return a list of what"
            " it yields"
        )
    return value


async def _call(loader: Loader) -> Any:
    value = (
        loader() if is_async(loader) else await asyncio.to_thread(_without_stop_iteration, loader)
    )
    return await value if inspect.isawaitable(value) else value


def _without_stop_iteration(loader: Loader) -> Any:
    """A future refuses to carry StopIteration, and whoever awaits it would wait for ever."""
    try:
        return loader()
    except StopIteration as error:
        raise RuntimeError("the loader raised StopIteration") from error
