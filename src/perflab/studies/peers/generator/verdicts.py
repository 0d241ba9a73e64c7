"""The targets of the generator section, and their verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from perflab.measure.claims import Verdict
from perflab.studies.peers.generator.driven import AIOHTTP, LOCUST, PERFLAB
from perflab.studies.peers.generator.race import AGAIN, BUSY, TRIES, WRK, Race
from perflab.studies.peers.targets import target
from perflab.studies.targets import Judged, judged

TIMES: Final = {WRK: 0.8, AIOHTTP: 3.0, LOCUST: 4.0}
LATE_MS: Final = 0.2


def judge_race(race: Race) -> Iterator[Judged]:
    """One verdict a rival; void where a generator did not keep its core busy."""
    for name, times in TIMES.items():
        if name not in race.efforts:
            continue
        promise = target(
            "generator", f"requests per CPU second, ours over {name}", "at_least", times, "times"
        )
        found = judged(promise, race.ours_over(name), race.ours_over(AGAIN))
        idle = [side for side in (PERFLAB, name) if race.busy(side) < BUSY]
        if idle:
            reason = (
                f"{idle[0]} kept its core busy for {race.busy(idle[0]):.0%} of the time only"
                f" (at least {BUSY:.0%}) in the best of {TRIES} loads of a round: the server was"
                " the limit"
            )
            found = Judged(promise, found.measured, Verdict("void", reason))
        yield found


def judge_lateness(race: Race) -> Judged:
    """An absolute time, so it depends on the machine."""
    promise = target("lateness", "send lateness at 1,000 requests/s, p99", "at_most", LATE_MS, "ms")
    return judged(promise, race.late_ms)
