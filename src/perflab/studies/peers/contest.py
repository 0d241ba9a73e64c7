"""Contests: a rival library and ours at equal work, in interleaved blocks of one run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import numpy as np

from perflab.errors import PerflabError
from perflab.measure.comparison import Comparison, Statistic, compare
from perflab.measure.experiment import Arm, Clock, Draw, Experiment, Operation
from perflab.measure.results import Origin, Result, from_comparison
from perflab.measure.samples import Samples
from perflab.measure.statistics import Estimate, Interval
from perflab.progress import Step

T = TypeVar("T")

Ask: TypeAlias = Callable[[int], Awaitable[bool]]
"""Makes the request of a number and says whether it was answered rightly."""

STATISTIC: Final[Statistic] = "median"
"""A timed call is a batch of many requests; the median batch leaves out moments in which the
machine was elsewhere."""


class ContestError(PerflabError):
    """The sides of a contest did not do the same work."""


@dataclass(frozen=True)
class Sizes:
    """How often a contest is timed."""

    rounds: int
    """Each visits every side for one block."""
    calls: int
    """Timed calls of a block."""
    seed: int


@dataclass(frozen=True, eq=False)
class Contest:
    """One kind of work, done by a rival (*before*) and by ours (*after* and the control)."""

    work: str
    rival: str
    requests: int
    """Of one timed call."""
    samples: Samples
    comparison: Comparison
    yardstick: bool = False
    """No rival: shown for orientation, never judged."""

    @property
    def rival_us(self) -> Estimate:
        """The rival's time for one request."""
        return self._per_request(self.comparison.before.of(STATISTIC))

    @property
    def ours_us(self) -> Estimate:
        """Our time for one request."""
        return self._per_request(self.comparison.after.of(STATISTIC))

    @property
    def times_faster(self) -> Estimate:
        """The rival's time over ours."""
        return inverse(self.comparison.ratio.of(STATISTIC))

    @property
    def aa(self) -> Estimate:
        """Ours measured twice: the ratio that should be 1."""
        return self.comparison.aa.of(STATISTIC)

    def _per_request(self, milliseconds: Estimate) -> Estimate:
        if isinstance(milliseconds, Interval):
            return milliseconds.scaled(1_000 / self.requests)
        return milliseconds


def hold(
    work: str,
    arms: tuple[Arm, Arm, Arm],
    draw: Callable[[np.random.Generator], Draw],
    sizes: Sizes,
    *,
    requests: int,
    step: Step | None = None,
    yardstick: bool = False,
    clock: Clock = time.perf_counter,
) -> Contest:
    """Time the rival, ours, and ours once more.

    A call of an arm returns how many of its ``requests`` were answered rightly; a
    ContestError where that were not all, since a side that does less is no measure for the other.
    """
    rival, ours, again = arms
    samples = Experiment(
        before=rival,
        after=ours,
        control=again,
        operations=[Operation(work, "peers", draw)],
        rounds=sizes.rounds,
        calls=sizes.calls,
        seed=sizes.seed,
        clock=clock,
    ).run(step)
    for number, arm in enumerate(arms):
        answered = samples.rows[samples.arm == number]
        if (wrong := int((requests - answered).sum())) > 0:
            raise ContestError(
                f"{work}: {arm.name} gave no or a wrong answer to {wrong} of"
                f" {requests * len(answered)} requests, so the times cannot be compared; run it"
                " again"
            )
    return Contest(work, rival.name, requests, samples, compare(samples), yardstick)


def inverse(ratio: Estimate) -> Estimate:
    """One over a ratio of positive figures, its interval included."""
    if not isinstance(ratio, Interval):
        return ratio
    return Interval(1 / ratio.estimate, 1 / ratio.hi, 1 / ratio.lo)


def closest(contests: Sequence[Contest]) -> Contest:
    """The contest that ours won by the least: against the rival's fastest configuration."""

    def lead(contest: Contest) -> float:
        estimate = contest.comparison.ratio.of(STATISTIC)
        return -estimate.estimate if isinstance(estimate, Interval) else 0.0

    return min((c for c in contests if not c.yardstick), key=lead)


def results_of(section: str, contests: Sequence[Contest], origin: Origin) -> list[Result]:
    """The ratio ours/rival of every contest, for the run's file."""
    return [
        from_comparison(
            origin,
            contest.comparison,
            name=f"peers.{section}: {contest.work}, {contest.rival}",
            metric=f"{STATISTIC}_ratio",
        )
        for contest in contests
    ]


def in_thread(work: Callable[[asyncio.Runner], T]) -> T:
    """Do ``work`` in a thread with an event loop that it can enter again and again.

    A notebook's own thread runs the kernel's loop, which cannot be entered from a cell.
    """

    def run() -> T:
        with asyncio.Runner() as runner:
            return work(runner)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


async def concurrently(ask: Ask, plan: Sequence[Sequence[int]]) -> int:
    """One caller for each list of numbers, each asking for its next when the last has answered.

    Returns how many answers ``ask`` called right.
    """

    async def caller(numbers: Sequence[int]) -> int:
        right = 0
        for number in numbers:
            right += await ask(number)
        return right

    return sum(await asyncio.gather(*(caller(numbers) for numbers in plan)))
