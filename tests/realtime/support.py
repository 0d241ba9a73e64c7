"""What the tests of real time share: logs with keys of their own, patient on a busy machine."""

from __future__ import annotations

from typing import Any

from event_loop import PATIENCE_S, own_prefix, run, until
from perflab.realtime import ChannelLog

__all__ = ["PATIENCE_S", "open_log", "own_prefix", "run", "until"]


def open_log(url: str, prefix: str | None = None, **options: Any) -> ChannelLog:
    """A log with a budget that a busy machine does not exhaust."""
    settings: dict[str, Any] = {"prefix": prefix or own_prefix(), "budget_s": 20.0}
    return ChannelLog(url, **(settings | options))
