"""Runs of several workers as one: every row of theirs, once, in the order of taking up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perflab.load.samples import LoadSamples
from perflab.load.scenarios.outcome import Ended, Progress, Run
from perflab.load.scenarios.scenario import Scenario


def merged(
    scenario: Scenario,
    runs: Sequence[Run],
    *,
    ended: Ended = "done",
    reason: str = "",
    void_reason: str = "",
    clocks_ms: float = 0.0,
) -> Run:
    """The run of a scenario that these make together; at least one.

    Their times count from the same moment, so nothing is converted and nothing estimated. It is
    as busy as its busiest generator; a generator that was the limit voids the whole.
    """
    samples = [run.samples for run in runs]
    order = np.argsort(np.concatenate([one.taken_s for one in samples]), kind="stable")

    def rows(column: Callable[[LoadSamples], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([column(one) for one in samples])[order]

    limits = [one.void_reason for one in samples if one.void_reason]
    seconds = max(run.seconds for run in runs)
    return Run(
        scenario=scenario,
        samples=replace(
            samples[0],
            scheduled_s=rows(lambda one: one.scheduled_s),
            taken_s=rows(lambda one: one.taken_s),
            started_s=rows(lambda one: one.started_s),
            ended_s=rows(lambda one: one.ended_s),
            status=rows(lambda one: one.status),
            body_bytes=rows(lambda one: one.body_bytes),
            outcome=rows(lambda one: one.outcome),
            kept_header=None,
            bodies=None,
            window_s=seconds,
            busy_share=max(one.busy_share for one in samples),
            began_unix_s=min(one.began_unix_s for one in samples),
            resent=sum(one.resent for one in samples),
            connections_opened=sum(one.connections_opened for one in samples),
        ),
        step=np.concatenate([run.step for run in runs])[order],
        user=np.concatenate([run.user for run in runs])[order],
        verdict=np.concatenate([run.verdict for run in runs])[order],
        ended=ended,
        reason=reason,
        seconds=seconds,
        void_reason=void_reason or (limits[0] if limits else ""),
        workers=len(runs),
        clocks_ms=clocks_ms,
    )


def together(several: Sequence[Progress]) -> Progress:
    """The progress of all; the 95th percentile is the worst of theirs, which bounds it."""
    p95 = [one.p95_ms for one in several if one.p95_ms == one.p95_ms]
    return Progress(
        elapsed_s=max(one.elapsed_s for one in several),
        seconds=several[0].seconds,
        requests=sum(one.requests for one in several),
        errors=sum(one.errors for one in several),
        refused=sum(one.refused for one in several),
        rate_per_s=sum(one.rate_per_s for one in several),
        p95_ms=max(p95, default=float("nan")),
    )
