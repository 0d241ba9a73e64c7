"""The limiter's target, and its verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from perflab.studies.peers.contest import Contest
from perflab.studies.peers.targets import judged_lead, target
from perflab.studies.targets import Judged

TIMES: Final = 3.5


def judge_decisions(contests: Sequence[Contest]) -> Iterator[Judged]:
    """One verdict for each rival and way of setting it up."""
    for contest in contests:
        if not contest.yardstick:
            wording = f"{contest.work} against {contest.rival}"
            promise = target("decisions", wording, "at_least", TIMES, "times faster")
            yield judged_lead(promise, contest)
