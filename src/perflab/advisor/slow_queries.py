"""The slow ones among the statements that ran between two snapshots, and what makes them so."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from perflab.advisor.statement_stats import Counters, Difference, Seen

Positive = Annotated[float, msgspec.Meta(ge=0)]


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A statement that reaches one of these is slow; infinity switches one off."""

    mean_ms: Positive = 100.0
    """Average execution time of a call."""
    share_percent: Positive = 10.0
    """Of the time that all statements took together."""
    buffers_per_call: Positive = 10_000.0
    """8 kB pages; ten thousand are 80 MB."""
    temp_blocks_per_call: Positive = 1.0
    """8 kB pages of temporary files: any at all by default."""
    calls: int = 2
    """Statements with fewer calls are left out: nobody waits for them twice."""


class SlowQuery(msgspec.Struct, frozen=True):
    """One slow statement and its growth between the snapshots."""

    query_id: int
    text: str
    calls: int
    total_ms: float
    share_percent: float
    mean_ms: float
    rows_per_call: float
    buffers_per_call: float
    temp_blocks_per_call: float
    plan: str
    """Fingerprint; empty where it could not be had."""
    plan_summary: str
    plan_before: str
    """Fingerprint in the first snapshot, where it was another one: the plan flipped."""
    reasons: tuple[str, ...]
    """The thresholds that it reaches, in words."""

    @property
    def flipped(self) -> bool:
        """Whether the plan changed between the snapshots."""
        return bool(self.plan_before)


def slow_queries(
    between: Difference, thresholds: Thresholds | None = None
) -> tuple[SlowQuery, ...]:
    """Those that reach a threshold or whose plan flipped, costliest first."""
    limits = thresholds or Thresholds()
    found = (_judged(seen, earlier, between, limits) for seen, earlier in between.statements)
    return tuple(slow for slow in found if slow.calls >= limits.calls and slow.reasons)


def _judged(seen: Seen, earlier: Seen | None, between: Difference, limits: Thresholds) -> SlowQuery:
    counters: Counters = seen.counters
    share = 100 * counters.total_ms / between.total_ms if between.total_ms else 0.0
    before = earlier.plan if earlier and seen.plan and earlier.plan != seen.plan else ""
    figures = {
        "mean_ms": counters.total_ms / counters.calls,
        "share_percent": share,
        "buffers_per_call": counters.buffers / counters.calls,
        "temp_blocks_per_call": counters.temp_blocks / counters.calls,
    }
    reasons = [
        _WORDS[name].format(value)
        for name, value in figures.items()
        if value >= getattr(limits, name) and not math.isinf(getattr(limits, name))
    ]
    if before:
        reasons.append("its plan changed")
    return SlowQuery(
        query_id=seen.query_id,
        text=seen.text,
        calls=counters.calls,
        total_ms=counters.total_ms,
        share_percent=share,
        mean_ms=figures["mean_ms"],
        rows_per_call=counters.rows / counters.calls,
        buffers_per_call=figures["buffers_per_call"],
        temp_blocks_per_call=figures["temp_blocks_per_call"],
        plan=seen.plan,
        plan_summary=seen.plan_summary,
        plan_before=before,
        reasons=tuple(reasons),
    )


_WORDS = {
    "mean_ms": "{:,.4g} ms a call",
    "share_percent": "{:.0f} % of all time",
    "buffers_per_call": "{:,.0f} pages a call",
    "temp_blocks_per_call": "{:,.4g} pages of temporary files a call",
}
