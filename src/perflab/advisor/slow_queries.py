"""The slow ones among the statements that ran, and what makes them so.

What ran is the difference of two snapshots of pg_stat_statements; where single calls were seen as
well (by auto_explain or by the client), they add a p95 and the plans that really ran. Where the
server counts nothing, the client's calls alone will do.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from perflab.advisor.calls import CallLog
from perflab.advisor.statement_stats import Counters, Difference, Seen, Snapshot, difference

Positive = Annotated[float, msgspec.Meta(ge=0)]


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A statement that reaches one of these is slow; infinity switches one off."""

    mean_ms: Positive = 100.0
    """Average execution time of a call."""
    p95_ms: Positive = 300.0
    """Of single calls, where at least 20 were seen."""
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
    """As the server counts it; 0 where it counts nothing."""
    text: str
    calls: int
    total_ms: float
    share_percent: float
    mean_ms: float
    p95_ms: float | None
    """None where fewer than 20 calls were seen singly."""
    sampled: int
    """Calls that were."""
    rows_per_call: float
    buffers_per_call: float | None
    temp_blocks_per_call: float | None
    """None where only the client counted."""
    plan: str
    """Fingerprint; empty where it could not be had."""
    plan_summary: str
    """Of the plan that most calls ran with, where they were seen; else of the generic plan."""
    plans: int
    """Different plans that calls ran with; 0 where none was seen."""
    plan_before: str
    """Fingerprint in the first snapshot, where it was another one: the plan flipped."""
    reasons: tuple[str, ...]
    """The thresholds that it reaches, in words."""

    @property
    def flipped(self) -> bool:
        """Whether the plan changed between the snapshots."""
        return bool(self.plan_before)


def slow_queries(
    between: Difference, thresholds: Thresholds | None = None, calls: CallLog | None = None
) -> tuple[SlowQuery, ...]:
    """Those that reach a threshold or whose plan flipped, costliest first.

    ``calls`` are single calls out of the same time.
    """
    limits, log = thresholds or Thresholds(), calls or CallLog()
    found = (_judged(seen, earlier, between, limits, log) for seen, earlier in between.statements)
    return tuple(slow for slow in found if slow.calls >= limits.calls and slow.reasons)


def slow_since_reset(
    snapshot: Snapshot, thresholds: Thresholds | None = None
) -> tuple[SlowQuery, ...]:
    """The same of all that a server has counted since its statistics were last reset."""
    nothing = msgspec.structs.replace(snapshot, statements={}, others_ms=0.0, evictions=0)
    return slow_queries(difference(nothing, snapshot), thresholds)


def slow_calls(calls: CallLog, thresholds: Thresholds | None = None) -> tuple[SlowQuery, ...]:
    """The same out of single calls alone, for a server that counts none; no buffers there."""
    seen = sorted(calls.statements(), key=lambda one: -one.counters.total_ms)
    total_ms = sum(one.counters.total_ms for one in seen)
    between = Difference(0.0, tuple((one, None) for one in seen), total_ms, calls.forgotten)
    unknown = msgspec.structs.replace(
        thresholds or Thresholds(), buffers_per_call=math.inf, temp_blocks_per_call=math.inf
    )
    return tuple(
        msgspec.structs.replace(slow, buffers_per_call=None, temp_blocks_per_call=None)
        for slow in slow_queries(between, unknown, calls)
    )


def _judged(
    seen: Seen, earlier: Seen | None, between: Difference, limits: Thresholds, log: CallLog
) -> SlowQuery:
    counters: Counters = seen.counters
    share = 100 * counters.total_ms / between.total_ms if between.total_ms else 0.0
    before = earlier.plan if earlier and seen.plan and earlier.plan != seen.plan else ""
    ran = log.plans(seen.key)
    figures = {
        "mean_ms": counters.total_ms / counters.calls,
        "p95_ms": log.p95_ms(seen.key),
        "share_percent": share,
        "buffers_per_call": counters.buffers / counters.calls,
        "temp_blocks_per_call": counters.temp_blocks / counters.calls,
    }
    reasons = [
        _WORDS[name].format(value)
        for name, value in figures.items()
        if value is not None and value >= getattr(limits, name)
    ]
    if before:
        reasons.append("its plan changed")
    if reasons and len(ran) > 1:  # a quick statement may have a plan for each of its values
        reasons.append(f"its calls ran with {len(ran)} plans")
    return SlowQuery(
        query_id=seen.query_id,
        text=seen.text,
        calls=counters.calls,
        total_ms=counters.total_ms,
        share_percent=share,
        mean_ms=counters.total_ms / counters.calls,
        p95_ms=figures["p95_ms"],
        sampled=log.sampled(seen.key),
        rows_per_call=counters.rows / counters.calls,
        buffers_per_call=figures["buffers_per_call"],
        temp_blocks_per_call=figures["temp_blocks_per_call"],
        plan=seen.plan,
        plan_summary=ran[0].summary if ran else seen.plan_summary,
        plans=len(ran),
        plan_before=before,
        reasons=tuple(reasons),
    )


_WORDS = {
    "mean_ms": "{:,.4g} ms a call",
    "p95_ms": "every 20th call takes {:,.4g} ms or more",
    "share_percent": "{:.0f} % of all time",
    "buffers_per_call": "{:,.0f} pages a call",
    "temp_blocks_per_call": "{:,.4g} pages of temporary files a call",
}
