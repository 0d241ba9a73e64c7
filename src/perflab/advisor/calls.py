"""Single calls of statements, as a client timed them or the server explained them.

pg_stat_statements only adds up; what a percentile needs, and which plans a statement really ran
with, is in its calls. No value of a statement is kept.
"""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np

from perflab.advisor.identity import statement_key
from perflab.advisor.sql import redacted
from perflab.advisor.statement_stats import Counters, Seen

LEAST = 20
"""Fewer calls and a p95 would be the slowest of them."""
_KEPT = 10_000
"""Durations kept of one statement; beyond, a fair sample of them."""
_STATEMENTS = 5_000
_TEXTS = 20_000


class SeenPlan(msgspec.Struct, frozen=True):
    """One plan that a statement ran with."""

    fingerprint: str
    summary: str
    calls: int


@dataclass
class _Calls:
    text: str
    calls: int = 0
    total_ms: float = 0.0
    rows: int = 0
    durations_ms: array[float] = field(default_factory=lambda: array("d"))
    plans: Counter[tuple[str, str]] = field(default_factory=Counter)


class CallLog:
    """Durations and plans by statement; statements that differ in values only are one.

    May be written to by several threads. Statements beyond 5,000 different ones are counted in
    ``forgotten`` and not kept.
    """

    def __init__(self, seed: int = 0) -> None:
        self.forgotten = 0
        self._statements: dict[str, _Calls] = {}
        self._keys: dict[str, str] = {}
        self._rng = np.random.default_rng(seed)
        self._lock = threading.Lock()

    def add(
        self, text: str, duration_ms: float, rows: int = 0, plan: str = "", summary: str = ""
    ) -> None:
        """Count one call; ``plan`` is the fingerprint of the plan that it ran with, if known."""
        with self._lock:
            kept = self._of(text)
            if kept is None:
                self.forgotten += 1
                return
            kept.calls += 1
            kept.total_ms += duration_ms
            kept.rows += rows
            if plan:
                kept.plans[plan, summary] += 1
            if len(kept.durations_ms) < _KEPT:
                kept.durations_ms.append(duration_ms)
            elif (place := int(self._rng.integers(kept.calls))) < _KEPT:
                kept.durations_ms[place] = duration_ms  # reservoir: every call as likely

    def sampled(self, key: str) -> int:
        """How many durations are kept of a statement; its key is ``statement_key`` of its text."""
        found = self._statements.get(key)
        return len(found.durations_ms) if found else 0

    def p95_ms(self, key: str) -> float | None:
        """The duration that 95 % of a statement's calls do not exceed; None below 20 calls."""
        found = self._statements.get(key)
        if found is None or len(found.durations_ms) < LEAST:
            return None
        ordered = sorted(found.durations_ms)
        return ordered[-(-95 * len(ordered) // 100) - 1]

    def plans(self, key: str) -> tuple[SeenPlan, ...]:
        """The plans that a statement ran with, the most frequent first."""
        found = self._statements.get(key)
        common = found.plans.most_common() if found else ()
        return tuple(SeenPlan(plan, summary, calls) for (plan, summary), calls in common)

    def statements(self) -> Iterator[Seen]:
        """Each statement and what it took; buffers are not known."""
        for key, found in self._statements.items():
            counters = Counters(found.calls, found.total_ms, found.rows)
            yield Seen(0, found.text, counters, key=key)

    def _of(self, text: str) -> _Calls | None:
        key = self._keys.get(text)
        if key is None:
            if len(self._keys) >= _TEXTS:  # values written into texts make each a new one
                self._keys.clear()
            key = self._keys[text] = statement_key(text)
        found = self._statements.get(key)
        if found is None and len(self._statements) < _STATEMENTS:
            found = self._statements[key] = _Calls(redacted(text))
        return found
