"""A user's callbacks: checked when they are given, and what they raise ends nothing."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Final, TypeVar

from perflab.arguments import check_hook
from perflab.realtime.errors import RealtimeError

_LOG: Final = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())

A = TypeVar("A")


def check_callback(name: str, callback: Callable[..., object] | None, instead: str) -> None:
    """A RealtimeError if it cannot be called, or would have to be awaited.

    Args:
        name: of the argument.
        callback: as it was given.
        instead: what to do where something is to be awaited.
    """
    if callback is not None:
        why = f"which nobody would await; give a plain one, or {instead}"
        check_hook(name, callback, RealtimeError, why)


def call_back(name: str, callback: Callable[[A], object], told: A) -> bool:
    """Call it; False, and a line in the log, where it failed."""
    try:
        returned = callback(told)
    except Exception:  # noqa: BLE001 - whatever it raises
        _LOG.exception("%s failed; the client goes on", name)
        return False
    if inspect.iscoroutine(returned):
        returned.close()
        _LOG.error("%s returned a coroutine, which nobody awaits; give a plain function", name)
        return False
    return True
