"""The targets of the cache section, all in one place, and their verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from perflab.studies.peers.cache import read_path, shared_tier
from perflab.studies.peers.cache.ratios import Ratios
from perflab.studies.peers.contest import Contest, closest
from perflab.studies.peers.targets import judged_lead, target
from perflab.studies.targets import Judged, judged

MEMORY_TIMES: Final = 5.0
RATIO_SLACK: Final = 0.01
REDIS_TIMES: Final = 5.0
WARM_US: Final = 2.0
PATH_TIMES: Final = 3.0


def judge_memory_hits(contests: Sequence[Contest]) -> Iterator[Judged]:
    """One verdict a rival and way of asking it."""
    for contest in contests:
        if not contest.yardstick:
            yield _lead("memory_hit", f"memory hit against {contest.rival}", MEMORY_TIMES, contest)


def judge_ratios(ratios: Sequence[Ratios]) -> Iterator[Judged]:
    """SIEVE's hit ratio is not lower than W-TinyLFU's by more than ``RATIO_SLACK``."""
    for one in ratios:
        wording = f"hit ratio less W-TinyLFU's, {one.workload}, {one.size:,} entries"
        promise = target("hit_ratio", wording, "at_least", -RATIO_SLACK, "share of accesses")
        yield judged(promise, one.difference)


def judge_concurrent_gets(contests: Sequence[Contest]) -> Iterator[Judged]:
    """Against redis-py as it comes, then against the fastest way to set it up."""
    default = next(c for c in contests if c.rival == shared_tier.AS_IT_COMES)
    for contest in dict.fromkeys((default, closest(contests))):
        wording = f"{contest.work} against {contest.rival}"
        yield _lead("redis_gets", wording, REDIS_TIMES, contest)


def judge_warm_get(contest: Contest) -> Iterator[Judged]:
    """An absolute time, so it depends on the machine."""
    promise = target("warm_get", "warm tiered get", "at_most", WARM_US, "µs")
    yield judged(promise, contest.ours_us, contest.aa)


def judge_read_path(path: read_path.ReadPath) -> Iterator[Judged]:
    """The mix, against cashews with less to do than ours and with as much."""
    for rival in (read_path.EARLY, read_path.LOCKED):
        contest = path.contest(read_path.MIX, rival)
        yield _lead("read_path", f"{contest.work} against {rival}", PATH_TIMES, contest)


def _lead(name: str, wording: str, times: float, contest: Contest) -> Judged:
    return judged_lead(target(name, wording, "at_least", times, "times faster"), contest)
