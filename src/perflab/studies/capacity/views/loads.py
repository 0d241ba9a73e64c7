"""Closed and open loads, predictions and crowds, as tables and plots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from perflab.capacity.queues import EVERYBODY
from perflab.capacity.scalability import NotFitted, Scalability
from perflab.measure.statistics import Interval, NotEstimable
from perflab.report import plots
from perflab.report.not_run import NotRun, or_not_run
from perflab.report.tables import Column, Table, build, interval_text
from perflab.studies.capacity.crowds import Crowds, crowds_frame
from perflab.studies.capacity.held_back import Predicted, held_back_frame
from perflab.studies.capacity.ladder import Ladder, ladder_frame
from perflab.studies.capacity.model import Model
from perflab.studies.capacity.steps import OpenStep, core_rps, steps_frame

_POINTS = 60


def ladder_table(ladder: Ladder) -> Table:
    """Every concurrency."""
    return build(
        ladder_frame(ladder),
        [
            Column("users", "users"),
            Column("rps", "answers/s", 0),
            Column("least", "least", 0),
            Column("most", "most", 0),
            Column("median_ms", "median (ms)", 2),
            Column("p95_ms", "p95 (ms)", 2),
            Column("others", "without a good answer"),
            Column("void", "void because"),
        ],
        title="Closed loads: users who send the next request at once",
        subtitle="Medians over the rounds, the first quarter of each load left out.",
    )


def law_table(ladder: Ladder) -> Table | NotRun:
    """The fitted law's figures."""
    curve = ladder.fitted
    if isinstance(curve, NotFitted):
        return NotRun("the scalability law", curve.reason)
    figures = {
        "γ: answers/s of one user": curve.gamma,
        "σ: contention": curve.sigma,
        "κ: coherency": curve.kappa,
        "knee (users)": curve.knee,
        "peak (users)": curve.peak_users,
        "peak (answers/s)": curve.peak,
        "Amdahl's limit (answers/s)": curve.limit,
    }
    worst = float(np.abs(curve.residuals / curve.throughput).max())
    return build(
        pd.DataFrame([{"figure": name, "value": _text(one)} for name, one in figures.items()]),
        [Column("figure", "figure"), Column("value", "fitted")],
        title="The scalability law, fitted",
        subtitle=f"95 % intervals by bootstrap. The worst point is off by {worst:.0%}.",
    )


def ladder_plot(ladder: Ladder) -> Figure | NotRun:
    """Measured throughput and the law with its band."""
    rungs = {users: [rung.rps for rung in ladder.at(users)] for users in ladder.users}
    rows: list[dict[str, object]] = [
        {
            "users": float(users),
            "what": "measured",
            "rps": ladder.rps(users),
            "rps_lo": min(rates),
            "rps_hi": max(rates),
        }
        for users, rates in rungs.items()
    ]
    curve = ladder.fitted
    told = "no law fits"
    if isinstance(curve, Scalability):
        users = np.geomspace(1, ladder.users[-1], _POINTS)
        for n in users.tolist():
            band = curve.at(n)
            row = {"users": n, "what": "the law", "rps": band.estimate}
            rows.append({**row, "rps_lo": band.lo, "rps_hi": band.hi})
        knee = curve.knee
        told = f"knee at {knee.estimate:.0f} users" if isinstance(knee, Interval) else "no knee"
    return plots.curves(
        pd.DataFrame(rows),
        x="users",
        y="rps",
        hue="what",
        title=f"Closed loads: at most {ladder.peak[1]:,.0f} answers/s, {told}",
        x_label="users",
        y_label="answers a second",
        log="x",
        predicted={"the law": "measured"},
    )


def steps_table(steps: Sequence[OpenStep]) -> Table:
    """Every open step."""
    return build(
        steps_frame(steps),
        [
            Column("rate_rps", "arrivals/s", 0),
            Column("median_ms", "median (ms)", 2),
            Column("p95_ms", "p95 (ms)", 2),
            Column("refused", "without a good answer"),
            Column("finding", "finding"),
            Column("bottleneck", "held up by"),
        ],
        title=f"Open loads: {_held(steps)}",
        subtitle="Poisson arrivals; latency from the schedule. Unstable steps are shown and never"
        " used.",
    )


@or_not_run
def held_back_table(found: tuple[Predicted, ...], model: Model | NotFitted) -> Table | NotRun:
    """Two loads, predicted and measured."""
    if isinstance(model, NotFitted):
        return NotRun("held-back loads", model.reason)
    slots = model.station.slots
    served = "all at once" if slots == EVERYBODY else f"{slots} at once"
    if model.station.favour:
        served += f", the cheap ones favoured (by {model.station.favour:g})"
    return build(
        held_back_frame(found),
        [
            Column("load", "load"),
            Column("figure", "figure"),
            Column("predicted", "predicted"),
            Column("measured", "measured", interval=True),
            Column("off", "off by (%)", 1, interval=True),
            Column("allowed_percent", "allowed (%)", 0),
            Column("rounds", "rounds"),
            Column("finding", "finding"),
            Column("cause", "because of"),
        ],
        title="Two loads that nothing was fitted to",
        subtitle="Median, least and most of the rounds, in which the rungs were measured, too. The"
        f" station serves {served}; it misses p95 of the loads that it was made from by"
        f" {model.misfit:.0%}.",
    )


def crowds_table(crowds: Crowds) -> Table:
    """Users who think."""
    left_out = ", ".join(f"{users:,}" for users in crowds.left_out)
    return build(
        crowds_frame(crowds),
        [
            Column("users", "users"),
            Column("how", "how"),
            Column("rps", "answers/s", 0),
            Column("measured_ms", "p95 measured (ms)", 1),
            Column("simulated_ms", "p95 simulated (ms)", 1),
            Column("n", "requests"),
            Column("holds", f"p95 at most {crowds.promised_ms:g} ms"),
        ],
        title=f"Users who pause for {crowds.people.think_s:g} s, on one core",
        subtitle="Measured: each on a connection of their own. Extrapolated: simulated, with the"
        " station that stands in for this system."
        + (f" Not tried for want of open files (ulimit -n): {left_out}." if left_out else ""),
    )


def _held(steps: Sequence[OpenStep]) -> str:
    core = core_rps(steps)
    if isinstance(core, NotEstimable):
        return core.reason
    if core.hi > core.lo:
        return f"p95 kept at {core.lo:,.0f}/s and not at {core.hi:,.0f}/s"
    return f"p95 kept up to the last usable step, {core.lo:,.0f}/s"


def _text(estimate: Interval | NotEstimable) -> str:
    if isinstance(estimate, NotEstimable):
        return f"not told: {estimate.reason}"
    return interval_text(estimate.estimate, estimate.lo, estimate.hi)
