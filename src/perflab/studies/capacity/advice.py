"""The study's figures as evidence, and the advice that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from perflab.capacity.queues import People
from perflab.capacity.recommend import Cached, Evidence, Recommendation, recommend
from perflab.measure.statistics import NotEstimable
from perflab.report.not_run import NotRun
from perflab.studies.api.parts import FULL, NO_CACHE
from perflab.studies.capacity.ladder import Ladder, Rung
from perflab.studies.capacity.opened import Stack
from perflab.studies.capacity.steps import OpenStep, core_rps, limit_of


def advise(
    stack: Stack,
    ladder: Ladder,
    steps: Sequence[OpenStep],
    arms: Mapping[str, tuple[Rung, ...]],
    people: People,
) -> tuple[Recommendation, ...] | NotRun:
    """What the figures speak for; a NotRun where no step held, so that there is nothing to raise.

    Shares and waits are those of the fullest closed load, in its middle round: what holds the
    system up when it is full.
    """
    core, held = core_rps(steps), limit_of(steps).held
    if isinstance(core, NotEstimable) or held is None:
        return NotRun("recommendations", "p95 kept the promise at no step")
    rounds = sorted(ladder.at(ladder.peak[0]), key=lambda rung: rung.rps)
    highest = rounds[len(rounds) // 2].found
    settings = stack.site.orders().settings
    cached, uncached = (
        float(np.median([rung.rps_to_the_end for rung in arms[name]])) for name in (FULL, NO_CACHE)
    )
    hit_ratio = held.found.hit_ratio
    usable = np.isfinite(hit_ratio) and min(cached, uncached) > 0
    return recommend(
        Evidence(
            needed_rps=people.arrival_rps(),
            core_rps=core,
            p95_ms=held.p95_ms,
            promised_ms=held.promised_ms,
            shares=highest.shares,
            scalability=ladder.fitted,
            cached=Cached(hit_ratio, cached, uncached) if usable else None,
            pooled=highest.pooled(settings.pool_size) if settings else None,
            lag_ms=highest.lag_ms if np.isfinite(highest.lag_ms) else None,
            generator=highest.generator,
        )
    )


def advice_frame(advice: Sequence[Recommendation]) -> pd.DataFrame:
    """One row a recommendation, the best value first."""
    return pd.DataFrame(
        [
            {
                "what": one.what,
                "because": one.because,
                "gain_percent": 100 * one.gain,
                "days": one.days,
                "value": 100 * one.value,
                "verify": one.verify,
            }
            for one in advice
        ]
    )
