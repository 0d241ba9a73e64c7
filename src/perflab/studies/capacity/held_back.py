"""Two loads that nothing was fitted to: predicted first, then measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflab.capacity.scalability import NotFitted, Scalability
from perflab.measure.statistics import NotEstimable
from perflab.progress import Step
from perflab.report.not_run import NotRun
from perflab.studies.api.loads import put_load
from perflab.studies.capacity.ladder import Ladder, put_closed
from perflab.studies.capacity.model import Model, p95_ms
from perflab.studies.capacity.opened import Arm

OPEN_SHARE: Final = 0.80
"""Of the measured peak."""
MOST_OFF: Final = {"throughput": 0.10, "p95": 0.25}
REPETITIONS: Final = 2


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
    opened, closed = [], []
    for number in range(REPETITIONS):
        if step:
            step("held-back loads", number, REPETITIONS)
        opened.append(put_load(arm.served, arm.traffic, rate, seconds, seed + number))
        closed.append(put_closed(arm, users, seconds))
    first, second = f"{rate:,.0f} arrivals/s", f"{users} users without a pause"
    return (
        _row(
            first,
            "throughput",
            rps[0],
            [_rate_of(one.good, one.reading.samples.ended_s) for one in opened],
            [one.void for one in opened],
        ),
        _row(
            first,
            "p95",
            p95[0],
            [one.quantile_ms(0.95) for one in opened],
            [one.void for one in opened],
        ),
        _row(
            second,
            "throughput",
            rps[1],
            [one.rps for one in closed],
            [one.reading.void for one in closed],
        ),
        _row(
            second,
            "p95",
            p95[1],
            [one.quantile_ms(0.95) for one in closed],
            [one.reading.void for one in closed],
        ),
    )


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


def _row(
    load: str, figure: str, predicted: float, measured: Sequence[float], void: Sequence[str]
) -> Predicted:
    return Predicted(
        load,
        figure,
        predicted,
        float(np.median(measured)),
        min(measured),
        max(measured),
        next((reason for reason in void if reason), ""),
    )


def _rate_of(good: NDArray[np.bool_], ended_s: NDArray[np.float64]) -> float:
    """Good answers a second, until the last of them."""
    ends = ended_s[good]
    return len(ends) / float(ends.max()) if len(ends) else math.nan


def _middle(estimate: object) -> float:
    return float(getattr(estimate, "estimate", math.nan))
