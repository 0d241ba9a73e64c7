"""What a run of a scenario leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from perflab.load.samples import LoadSamples
from perflab.load.scenarios.figures import Figures, figures_of
from perflab.load.scenarios.scenario import Scenario

Ended = Literal["done", "aborted", "interrupted"]
LEAST_JUDGED: Final = 20
"""Requests below which nothing is aborted."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a scenario left behind: parallel columns of shape ``(n,)``, one row a request."""

    scenario: Scenario
    samples: LoadSamples
    step: NDArray[np.int16]
    """Positions in ``scenario.steps``."""
    user: NDArray[np.int64]
    verdict: NDArray[np.int8]
    """Positions in ``VERDICTS``."""
    ended: Ended
    reason: str
    """Why it was aborted."""
    seconds: float
    """How long it went on: the scenario's duration, or less."""
    void_reason: str = ""
    """Why its figures say nothing about the server, beyond what the samples themselves show."""
    workers: int = 1
    """How many generators made it together."""
    clocks_ms: float = 0.0
    """How far their clocks may have been apart."""


@dataclass(frozen=True)
class Progress:
    """How a run stands."""

    elapsed_s: float
    seconds: float
    requests: int
    errors: int
    refused: int
    rate_per_s: float
    """Good answers a second, over the last few seconds."""
    p95_ms: float
    """Of their latency."""


def counted(run: Run, step: str = "") -> NDArray[np.bool_]:
    """The rows after the warm-up; of one step, if it is named."""
    # 1e-9 forgives the rounding of times that were counted from another moment
    keep = run.samples.scheduled_s >= run.scenario.warmup_s - 1e-9
    if step:
        numbers = [one.number for one in run.scenario.steps if one.name == step]
        keep = keep & np.isin(run.step, numbers)
    return np.asarray(keep)


def part(run: Run, step: str = "") -> Figures:
    """The figures of a run, or of one of its steps, after the warm-up."""
    keep = counted(run, step)
    begin_s = min(run.scenario.warmup_s, run.seconds)
    return figures_of(
        run.samples.select(keep), run.verdict[keep], begin_s=begin_s, end_s=run.seconds
    )


def reason_to_abort(run: Run) -> str:
    """The first of the scenario's conditions for it that holds, with its value; empty if none."""
    if len(run.verdict) >= LEAST_JUDGED:
        for condition in run.scenario.abort:
            figures = part(run, condition.step)
            if condition.holds(figures):
                return f"{condition.text}: {condition.value(figures):.4g}"
    return ""
