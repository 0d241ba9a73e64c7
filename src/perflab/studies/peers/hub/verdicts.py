"""The targets of the hub section, and their verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from perflab.measure.claims import Verdict
from perflab.measure.statistics import Estimate, Interval
from perflab.studies.peers.hub.fanout import BROADCAST, BROADCAST_RATE, OURS, RATE, Fanout
from perflab.studies.peers.targets import target
from perflab.studies.targets import Judged, judged

TIMES: Final = 20.0
P99_MS: Final = 100.0
SAVES: Final = 5.0
_SIDES: Final = ((BROADCAST, BROADCAST_RATE), (OURS, RATE))


def judge_fanout(fanout: Fanout) -> Iterator[Judged]:
    """The lead, void where a side was so late that nobody would run it so; and both latencies."""
    promise = target(
        "fanout", f"deliveries of a CPU second over {BROADCAST}", "at_least", TIMES, "times"
    )
    lead = judged(promise, fanout.times(OURS, RATE), fanout.aa)
    late = [side for side, rate in _SIDES if _middle(fanout.p99_ms(side, rate)) > P99_MS]
    if late:
        reason = f"the p99 of {late[0]} is above {P99_MS:g} ms"
        lead = Judged(promise, lead.measured, Verdict("void", reason))
    yield lead
    for side, rate in _SIDES:
        wording = f"p99 of {side} at {rate:g} messages a second"
        limit = target("fanout_p99", wording, "at_most", P99_MS, "ms")
        yield judged(limit, fanout.p99_ms(side, rate))


def _middle(estimate: Estimate) -> float:
    return estimate.estimate if isinstance(estimate, Interval) else float("nan")
