"""Two loads that nothing was fitted to: predicted first, then measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from perflab.capacity.scalability import NotFitted, Scalability
from perflab.measure.statistics import NotEstimable
from perflab.progress import Step
from perflab.report.not_run import NotRun
from perflab.studies.api.loads import put_load
from perflab.studies.capacity.ladder import Ladder, put_closed, rate_to_the_end
from perflab.studies.capacity.model import Model, p95_ms
from perflab.studies.capacity.opened import Arm

OPEN_SHARE: Final = 0.80
"""Of the measured peak."""
MOST_OFF: Final = {"throughput": 0.10, "p95": 0.25}
REPETITIONS: Final = 3


@dataclass(frozen=True)
class Predicted:
    """One figure, predicted and measured."""

    load: str
    figure: str
    predicted: float
    measured: float
    least: float
    """Of the repetitions."""
    most: float
    void: str

    @property
    def off(self) -> float:
        """(predicted − measured)/measured."""
        return self.predicted / self.measured - 1 if self.measured else math.nan

    @property
    def finding(self) -> str:
        """Whether the prediction was near enough."""
        if self.void:
            return "void: the generator was the limit"
        if not math.isfinite(self.off):
            return "cannot tell"
        return "within" if abs(self.off) <= MOST_OFF[self.figure] else "off"


@dataclass(frozen=True)
class Seen:
    """One repetition of a load."""

    rps: float
    """Good answers a second."""
    p95_ms: float
    void: str


def hold_back(
    arm: Arm,
    ladder: Ladder,
    model: Model | NotFitted,
    seconds: float,
    seed: int,
    step: Step | None = None,
) -> tuple[Predicted, ...] | NotRun:
    """An open load at 80 % of the measured peak, and a closed one at twice the knee.

    The knee's double is moved to a concurrency that the ladder does not have. Throughput of the
    closed load is the law's where one was fitted, all else is the simulation's.
    """
    if isinstance(model, NotFitted):
        return NotRun("held-back loads", model.reason)
    rate = OPEN_SHARE * ladder.peak[1]
    users = twice_the_knee(ladder)
    simulated = model.open(rate), model.closed(users, 0.0)
    rps = [_middle(run.throughput_rps) for run in simulated]
    if isinstance(ladder.fitted, Scalability):
        rps[1] = float(ladder.fitted.fitted.at(users))
    p95 = [_middle(p95_ms(run)) for run in simulated]
    opened: list[Seen] = []
    closed: list[Seen] = []
    for number in range(REPETITIONS):
        if step:
            step("held-back loads", number, REPETITIONS)
        load = put_load(arm.served, arm.traffic, rate, seconds, seed + number)
        answers = rate_to_the_end(load.good, load.reading.samples.ended_s)
        opened.append(Seen(answers, load.quantile_ms(0.95), load.void))
        rung = put_closed(arm, users, seconds)
        closed.append(Seen(rung.rps, rung.quantile_ms(0.95), rung.reading.void))
    first, second = f"{rate:,.0f} arrivals/s", f"{users} users without a pause"
    return (*rows_of(first, rps[0], p95[0], opened), *rows_of(second, rps[1], p95[1], closed))


def twice_the_knee(ladder: Ladder) -> int:
    """Users; of a ladder that no law was fitted to, the knee is where the peak is."""
    fitted = ladder.fitted
    if isinstance(fitted, Scalability) and not isinstance(fitted.knee, NotEstimable):
        users = max(2, round(2 * fitted.fitted.knee_users))
    else:
        users = 2 * ladder.peak[0]
    while users in ladder.users:
        users += 1
    return users


def held_back_frame(found: Sequence[Predicted]) -> pd.DataFrame:
    """One row a figure."""
    return pd.DataFrame(
        [
            {
                "load": one.load,
                "figure": "throughput (1/s)" if one.figure == "throughput" else "p95 (ms)",
                "predicted": one.predicted,
                "measured": one.measured,
                "measured_lo": one.least,
                "measured_hi": one.most,
                "off_percent": 100 * one.off,
                "allowed_percent": 100 * MOST_OFF[one.figure],
                "finding": one.finding,
            }
            for one in found
        ]
    )


def rows_of(load: str, rps: float, p95: float, seen: Sequence[Seen]) -> tuple[Predicted, ...]:
    """Both figures of one load, over the repetitions that the generator did not spoil."""
    good = [one for one in seen if not one.void]
    void = "" if good else seen[0].void
    measured = {
        "throughput": [one.rps for one in good or seen],
        "p95": [one.p95_ms for one in good or seen],
    }
    return tuple(
        Predicted(load, name, predicted, float(np.median(those)), min(those), max(those), void)
        for (name, those), predicted in zip(measured.items(), (rps, p95), strict=True)
    )


def _middle(estimate: object) -> float:
    return float(getattr(estimate, "estimate", math.nan))
