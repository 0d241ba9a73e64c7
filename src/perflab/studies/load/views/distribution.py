"""How long the answers took, all of them: a curve a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from perflab.load.scenarios import VERDICTS
from perflab.report import plots
from perflab.studies.load.planned import WIDENED, Trial

MOST_POINTS: Final = 60
"""Of a curve; more only make it thick."""


def distribution_frame(trials: Sequence[Trial]) -> pd.DataFrame:
    """Good answers under wide quotas: a latency, and the share of them that took no longer.

    One row an answer, or one of evenly spaced ranks where there are many; the slowest always is.
    """
    frames = []
    for trial in (trial for trial in trials if trial.quotas == WIDENED):
        good = trial.run.verdict == VERDICTS.index("good")
        ms = np.sort(trial.run.samples.latency_s[good]) * 1e3
        number = min(len(ms), MOST_POINTS)
        ranks = (
            np.round(np.linspace(1, len(ms), number)).astype(int) if number else np.empty(0, int)
        )
        frames.append(
            pd.DataFrame(
                {
                    "scenario": f"{trial.summary.title} ({len(ms)} answers)",
                    "ms": ms[ranks - 1],
                    "share": 100 * ranks / max(len(ms), 1),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def distribution_plot(trials: Sequence[Trial]) -> Figure:
    """The share of the answers that came within a time, from the moment they were due."""
    frame = distribution_frame(trials)
    slowest = float(frame["ms"].max()) if len(frame) else float("nan")
    return plots.curves(
        frame,
        x="ms",
        y="share",
        hue="scenario",
        title=f"Every good answer came within {slowest:.3g} ms",
        x_label="latency from the schedule (ms)",
        y_label="answers that took no longer (%)",
        log="x",
    )
