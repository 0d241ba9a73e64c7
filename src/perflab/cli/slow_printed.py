"""Slow statements as ``perflab advise`` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from perflab.cli.console import console

if TYPE_CHECKING:
    from perflab.advisor.slow_queries import SlowQuery

_SHOWN, _WIDTH = 12, 100


def print_slow(slow: Sequence[SlowQuery]) -> None:
    """What a server has spent its time on since its statistics were last reset, a line each."""
    for one in slow[:_SHOWN]:
        text = one.text if len(one.text) <= _WIDTH else f"{one.text[: _WIDTH - 1]}…"
        plan = f" ({one.plan_summary})" if one.plan_summary else ""
        why = ", ".join(one.reasons)
        console.print(
            f"[yellow]slow[/]: query {one.query_id}, {one.calls:,} calls: {escape(why)}:"
            f" [dim]{escape(text + plan)}[/]",
            soft_wrap=True,
        )
