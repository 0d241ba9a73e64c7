"""Open loads, step by step: the highest rate at which p95 keeps the promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from perflab.measure.statistics import Interval, NotEstimable
from perflab.progress import Step as Progress
from perflab.studies.api.loads import Load, put_load
from perflab.studies.api.search import Bracket, bracket
from perflab.studies.capacity.attribution import Attribution, attributed, parts_of
from perflab.studies.capacity.opened import Arm

SHARES: Final = (0.5, 0.75, 0.9, 1.05, 1.25, 1.5)
"""The steps' rates, as shares of the closed loads' highest throughput: the limit may lie above it,
where more requests are there at once than any of the closed loads had."""
PROMISES: Final = 4.0
"""A step lasts at least so many times as long as p95 may: a shorter one would be over before an
overload could break the promise."""
MOST_OTHERS: Final = 0.001
"""The share of the requests that may go without a good answer in a step that holds."""
_STREAM: Final = 72


@dataclass(frozen=True)
class OpenStep:
    """One rate."""

    load: Load
    found: Attribution
    promised_ms: float

    @property
    def rate_rps(self) -> float:
        """Arrivals a second."""
        return self.load.rate_rps

    @property
    def void(self) -> str:
        """Why it says nothing of the server; empty where it does.

        Latency counts from the schedule: a late generator makes it longer, never shorter. So a
        step that holds, holds.
        """
        return "" if self.holds else self.load.void

    @property
    def p95_ms(self) -> float:
        """From the schedule; a request without a good answer counts as a client's patience."""
        return self.load.quantile_ms(0.95)

    @property
    def holds(self) -> bool:
        """Whether p95 kept the promise in a load that the server kept up with."""
        lost = self.load.refused / max(1, len(self.load.ms))
        return not self.load.outran and lost <= MOST_OTHERS and self.p95_ms <= self.promised_ms

    @property
    def finding(self) -> str:
        """What the step says, in a few words."""
        if self.void:
            return "void: the generator was the limit"
        if self.load.outran:
            return "unstable: requests outran the server"
        if not self.holds:
            return "p95 above the promise"
        return "holds, though the generator was late" if self.load.void else "holds"


def climb_open(
    arm: Arm,
    peak_rps: float,
    promised_ms: float,
    seconds: float,
    seed: int,
    progress: Progress | None = None,
) -> tuple[OpenStep, ...]:
    """Poisson arrivals at rising shares of the peak, up to the first at which p95 is lost.

    A step lasts ``seconds``, or longer where the promise is long.

    A step that does not hold is put on once more: what fails twice, fails. What came after an
    unstable step would meet its backlog.
    """
    seeds = np.random.default_rng([seed, _STREAM]).integers(2**31, size=len(SHARES)).tolist()
    seconds = max(seconds, PROMISES * promised_ms / 1e3)
    steps: list[OpenStep] = []
    for number, share in enumerate(SHARES):
        rate = max(1.0, share * peak_rps)
        if progress:
            progress(f"{rate:,.0f}/s", number, len(SHARES))
        put = partial(put_load, arm.served, arm.traffic, rate, seconds, seeds[number])
        load, found = attributed(arm, put, lambda outcome: outcome.reading)
        step = OpenStep(load, found, promised_ms)
        if not step.holds:  # once more, in case the machine was elsewhere for a moment
            load, found = attributed(arm, put, lambda outcome: outcome.reading)
            step = OpenStep(load, found, promised_ms)
        steps.append(step)
        if load.outran or not (step.holds or step.void):
            break
    return tuple(steps)


def limit_of(steps: Sequence[OpenStep]) -> Bracket[OpenStep]:
    """Between which of the steps the promise was broken."""
    return bracket(steps, lambda step: step.holds)


def core_rps(steps: Sequence[OpenStep]) -> Interval | NotEstimable:
    """What a core holds: the highest step that held, up to the first that did not.

    The estimate is the lower end, which was seen to hold.
    """
    found = limit_of(steps)
    if found.held is None:
        return NotEstimable("p95 kept the promise at no step")
    upper = found.upper if np.isfinite(found.upper) else found.lower
    return Interval(found.lower, found.lower, upper)


def steps_frame(steps: Sequence[OpenStep]) -> pd.DataFrame:
    """One row a step."""
    return pd.DataFrame(
        [
            {
                "rate_rps": step.rate_rps,
                "median_ms": step.load.quantile_ms(0.5),
                "p95_ms": step.p95_ms,
                "promised_ms": step.promised_ms,
                "refused": step.load.refused,
                "finding": step.finding,
                **parts_of([step.found]),
                "bottleneck": replace(step.found, void=step.void).bottleneck,
            }
            for step in steps
        ]
    )
