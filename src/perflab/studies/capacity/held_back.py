"""Two loads that nothing is fitted to, and what the model says of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflab.capacity.scalability import NotFitted, Scalability
from perflab.measure.statistics import NotEstimable
from perflab.report.not_run import NotRun
from perflab.studies.api.loads import put_load
from perflab.studies.capacity.ladder import Ladder, put_rung, rate_to_the_end
from perflab.studies.capacity.model import Model
from perflab.studies.capacity.opened import Arm

Floats = NDArray[np.float64]

OPEN_SHARE: Final = 0.85
"""Of the peak of the rounds before, so that it is at least 80 % of that of all rounds."""
THROUGHPUT: Final = "throughput"
P95: Final = "p95"
BY_LAW: Final = "throughput, by the law"
MOST_OFF: Final = {THROUGHPUT: 0.10, BY_LAW: 0.10, P95: 0.25}
_DRAWS: Final = 5
"""Simulations of one schedule, each with other work."""


@dataclass(frozen=True)
class Chosen:
    """What is held back from a round."""

    rate_rps: float
    """Of arrivals that do not wait for answers."""
    users: int
    """Who send the next request at once."""


@dataclass(frozen=True)
class Seen:
    """One repetition of a load."""

    load: float
    """Arrivals a second, or users."""
    rps: float
    """Good answers a second."""
    p95_ms: float
    void: str
    due_s: Floats | None = None
    """When its requests were due, of an open load."""


@dataclass(frozen=True)
class HeldBack:
    """Both loads, once in each round in which the rungs were measured."""

    opened: tuple[Seen, ...]
    closed: tuple[Seen, ...]


@dataclass(frozen=True)
class Predicted:
    """One figure, predicted and measured, round by round."""

    load: str
    figure: str
    predicted: tuple[float, ...]
    """Of every round that counts: its own schedule, its own prediction."""
    measured: tuple[float, ...]
    void: str

    @property
    def offs(self) -> Floats:
        """(predicted − measured)/measured, of each round."""
        measured = np.array(self.measured)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.array(self.predicted) / measured - 1)

    @property
    def off(self) -> float:
        """The median over the rounds."""
        return float(np.median(self.offs)) if len(self.measured) else math.nan

    @property
    def finding(self) -> str:
        """Whether the prediction was near enough."""
        if self.void:
            return "void: the generator was the limit"
        if not math.isfinite(self.off):
            return "cannot tell"
        return "within" if abs(self.off) <= MOST_OFF[self.figure] else "off"

    @property
    def cause(self) -> str:
        """Where what is off comes from; empty where nothing is.

        Rounds that fall on both sides of the bound differ by more than the model misses.
        """
        if self.finding != "off":
            return ""
        near = int(np.count_nonzero(np.abs(self.offs) <= MOST_OFF[self.figure]))
        if near or self.offs.min() < 0 < self.offs.max():
            return f"noise: {near} of {len(self.offs)} rounds are within; longer loads are needed"
        return "the model: no round is within"


def choose(before: Ladder) -> Chosen:
    """An open load near the peak, and a closed one at twice the knee of the rounds before."""
    return Chosen(max(1.0, OPEN_SHARE * before.peak[1]), twice_the_knee(before))


def twice_the_knee(ladder: Ladder) -> int:
    """Users, moved to a concurrency that the ladder does not have.

    The knee is where growth as from one user's throughput would come to the highest: the law's
    figures where one was fitted, else the measured ones.
    """
    fitted = ladder.fitted
    if isinstance(fitted, Scalability) and not isinstance(fitted.knee, NotEstimable):
        knee = fitted.fitted.knee_users
    else:
        each = max(ladder.rps(users) / users for users in ladder.users)
        knee = ladder.peak[1] / each if each else 1.0
    users = max(2, round(2 * knee))
    while users in ladder.users:
        users += 1
    return users


def put_opened(arm: Arm, chosen: Chosen, seconds: float, seed: int) -> Seen:
    """The open load, once."""
    load = put_load(arm.served, arm.traffic, chosen.rate_rps, seconds, seed)
    samples = load.reading.samples
    answers = rate_to_the_end(load.good, samples.ended_s)
    ms = load.quantile_ms(0.95)
    return Seen(chosen.rate_rps, answers, ms, load.void, samples.scheduled_s)


def put_aside(arm: Arm, chosen: Chosen, seconds: float) -> Seen:
    """The closed load, once."""
    rung = put_rung(arm, chosen.users, seconds)
    return Seen(chosen.users, rung.rps, rung.quantile_ms(0.95), rung.reading.void)


def predict(
    held_back: HeldBack | NotRun, ladder: Ladder, model: Model | NotFitted, seed: int
) -> tuple[Predicted, ...] | NotRun:
    """What the model says of both loads, beside what was measured.

    The open load is simulated as it was put on: with the very schedule of each round, at a station
    that is idle before. A load of a second is over before a steady state is reached.
    """
    if isinstance(held_back, NotRun):
        return held_back
    if isinstance(model, NotFitted):
        return NotRun("held-back loads", model.reason)
    rates = [seen.load for seen in held_back.opened]
    share = float(np.median(rates)) / ladder.peak[1] if ladder.peak[1] else math.nan
    first = f"{_span(rates)} arrivals/s, {share:.0%} of the peak"
    second = f"{_span([seen.load for seen in held_back.closed])} users without a pause"
    simulated = cache(lambda users: model.closed(users, 0.0))

    def closed(seen: Seen) -> tuple[float, float]:
        run = simulated(round(seen.load))
        if not len(run.response_s):
            return math.nan, math.nan
        ms = 1e3 * float(np.quantile(run.response_s, 0.95))
        return len(run.response_s) / run.window_s, ms

    found = [
        *rows_of(first, held_back.opened, lambda seen: _open_prediction(model, seen, seed)),
        *rows_of(second, held_back.closed, closed),
    ]
    fitted = ladder.fitted
    if isinstance(fitted, Scalability):
        law = fitted.fitted
        (by_law, _) = rows_of(
            second, held_back.closed, lambda seen: (float(law.at(seen.load)), math.nan), BY_LAW
        )
        found.append(by_law)
    return tuple(found)


def rows_of(
    load: str,
    seen: Sequence[Seen],
    prediction: Callable[[Seen], tuple[float, float]],
    throughput: str = THROUGHPUT,
) -> tuple[Predicted, Predicted]:
    """Throughput and p95 of one load, over the rounds that the generator did not spoil.

    Where it spoilt all, over all: shown, and void.
    """
    good = [one for one in seen if not one.void]
    void = "" if good else next((one.void for one in seen), "it was not put on")
    good = good or list(seen)
    told = [prediction(one) for one in good]
    return (
        Predicted(
            load, throughput, tuple(rps for rps, _ in told), tuple(one.rps for one in good), void
        ),
        Predicted(load, P95, tuple(ms for _, ms in told), tuple(one.p95_ms for one in good), void),
    )


def _open_prediction(model: Model, seen: Seen, seed: int) -> tuple[float, float]:
    """Answers a second until the last one, and p95 in ms: medians over some draws of work."""
    due_s = seen.due_s
    if due_s is None or not len(due_s):
        return math.nan, math.nan
    rates, quantiles = [], []
    for draw in range(_DRAWS):
        response_s = model.due(due_s, seed + draw)
        rates.append(len(due_s) / float((due_s + response_s).max()))
        quantiles.append(1e3 * float(np.quantile(response_s, 0.95)))
    return float(np.median(rates)), float(np.median(quantiles))


def held_back_frame(found: Sequence[Predicted]) -> pd.DataFrame:
    """One row a figure."""
    return pd.DataFrame([_row(one) for one in found])


def _row(one: Predicted) -> dict[str, object]:
    def over(values: Sequence[float] | Floats, what: Callable[[Floats], float]) -> float:
        return float(what(np.asarray(values))) if len(values) else math.nan

    offs = 100 * one.offs
    return {
        "load": one.load,
        "figure": f"{one.figure} ({'ms' if one.figure == P95 else '1/s'})",
        "predicted": over(one.predicted, np.median),
        "measured": over(one.measured, np.median),
        "measured_lo": over(one.measured, np.min),
        "measured_hi": over(one.measured, np.max),
        "off": over(offs, np.median),
        "off_lo": over(offs, np.min),
        "off_hi": over(offs, np.max),
        "allowed_percent": 100 * MOST_OFF[one.figure],
        "rounds": len(one.measured),
        "finding": one.finding,
        "cause": one.cause,
    }


def _span(values: Sequence[float]) -> str:
    """From the least to the most."""
    low, high = f"{min(values):,.0f}", f"{max(values):,.0f}"
    return low if low == high else f"{low} to {high}"
