"""Whether latency stays as it is under a rate that goes on: the plan's "consistent" in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy import special

from perflab.measure.statistics import TAIL, Estimate, Interval, NotEstimable
from perflab.profiles import ApiSizes
from perflab.studies.api.ceiling import Reading, Served
from perflab.studies.api.loads import answered
from perflab.studies.api.site import Person
from perflab.studies.api.throughput import CROWD, IDENTITY, PROFILE, SHORT_PAGE
from perflab.studies.api.traffic import signed

RATE_RPS: Final = 1_200.0
"""The plan's "1,000+"."""
WINDOWS: Final = 16
SETTLING: Final = 2
"""Windows at the beginning, in which connections get used for the first time: shown, but no part
of the drift."""
FLAT_PERCENT: Final = 10.0
"""A drift over the whole run that is surely smaller than this is called none."""


@dataclass(frozen=True)
class Steady:
    """One long open load through the whole stack."""

    reading: Reading
    identities: int

    @property
    def good(self) -> int:
        """Answers of status 200."""
        return int(np.count_nonzero(answered(self.reading, (200,))))

    @property
    def others(self) -> int:
        """Requests that were answered otherwise, or not at all."""
        return len(self.reading.samples) - self.good

    def frame(self) -> pd.DataFrame:
        """Median and p95 of each window; a row a window and statistic."""
        samples = self.reading.samples
        ms = 1e3 * samples.latency_s
        edges = np.linspace(0.0, samples.window_s, WINDOWS + 1)
        window = np.clip(np.searchsorted(edges, samples.scheduled_s, "right") - 1, 0, WINDOWS - 1)
        return pd.DataFrame(
            [
                {
                    "at_s": float(edges[number : number + 2].mean()),
                    "statistic": name,
                    "ms": float(np.quantile(part, q)),
                    "n": len(part),
                }
                for name, q in (("median", 0.5), ("p95", 0.95))
                for number in range(WINDOWS)
                if len(part := ms[(window == number) & samples.answered])
            ]
        )

    def drift_percent(self, statistic: str = "median") -> Estimate:
        """By how much the statistic rises from the first window to the last, of its mean.

        After the settling. Least squares over the windows with Student's interval for the slope.
        """
        frame = self.frame()
        part = frame[frame["statistic"] == statistic].iloc[SETTLING:]
        if len(part) < 4:
            return NotEstimable(f"{len(part)} windows with answers; a trend needs 4")
        at = part["at_s"].to_numpy(float)
        ms = part["ms"].to_numpy(float)
        centred = at - at.mean()
        spread = float((centred**2).sum())
        slope = float((centred * ms).sum()) / spread
        rest = ms - ms.mean() - slope * centred
        error = float(np.sqrt((rest**2).sum() / (len(ms) - 2) / spread))
        half = float(special.stdtrit(len(ms) - 2, 1 - TAIL)) * error
        scale = 100 * float(at[-1] - at[0]) / float(ms.mean())
        return Interval(scale * slope, scale * (slope - half), scale * (slope + half))

    @property
    def finding(self) -> str:
        """What the drift of the median says, in a few words."""
        drift = self.drift_percent()
        if isinstance(drift, NotEstimable):
            return drift.reason
        if drift.lo > -FLAT_PERCENT and drift.hi < FLAT_PERCENT:
            return "flat"
        if drift.lo > 0:
            return "rising"
        return "falling" if drift.hi < 0 else "not shown to be flat"


def measure_steady(served: Served, people: Sequence[Person], sizes: ApiSizes, seed: int) -> Steady:
    """Pages and profiles in turn, over a thousand identities, the limiter on.

    The caches are warm from ``measure_throughput``.
    """
    crowd = people[:CROWD]
    requests = [
        signed(person, "GET", path, None, IDENTITY)
        for person in crowd
        for path in (SHORT_PAGE, PROFILE)
    ]
    return Steady(served.open(requests, RATE_RPS, sizes.steady_s, seed), len(crowd))
