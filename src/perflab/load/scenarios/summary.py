"""What a run came to, as a document: figures, thresholds, and whether it passed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Self

import msgspec
import numpy as np

from perflab import __version__
from perflab.load.scenarios.conditions import Condition, Measured
from perflab.load.scenarios.figures import Figures, Second, seconds_of
from perflab.load.scenarios.outcome import Ended, Run, part

FORMAT: Final = 1


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that was set, and what came out."""

    condition: str
    value: float
    holds: bool

    @classmethod
    def judged(cls, condition: Condition, figures: Measured) -> Self:
        """What became of a condition."""
        return cls(
            condition=condition.text,
            value=condition.value(figures),
            holds=condition.holds(figures),
        )


class StepFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one request of the scenario."""

    name: str
    figures: Figures


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """How the generator itself did."""

    busy_share: float
    late_p99_ms: float
    """Of its own lateness in sending."""
    void_reason: str
    """Why the figures say nothing about the server; empty where they do."""
    workers: int = 1
    """How many made the load together."""
    clocks_ms: float = 0.0
    """How far their clocks may have been apart at the start."""


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the documents of all kinds of runs have in common."""

    format: int = FORMAT
    perflab: str = __version__
    title: str
    scenario: str
    target: str
    began: str
    seed: int
    duration_s: float
    ended: Ended
    reason: str
    """Why it was aborted."""
    seconds: float
    """How long it went on."""
    thresholds: tuple[Threshold, ...]
    generator: Generator
    answered: bool = True
    """Whether the server answered anything that counts, with an error or not."""

    @property
    def passed(self) -> bool:
        """It ran to its end and was answered, all thresholds hold, the generator was no limit."""
        return (
            self.ended == "done"
            and self.answered
            and all(threshold.holds for threshold in self.thresholds)
            and not self.generator.void_reason
        )


class Summary(RunSummary, frozen=True, kw_only=True):
    """An HTTP run as it is written to a file."""

    users: int
    warmup_s: float
    total: Figures
    steps: tuple[StepFigures, ...]
    over_time: tuple[Second, ...]


def summarise(run: Run) -> Summary:
    """The figures of a run, and its thresholds judged; the warm-up is left out of all but time."""
    scenario, samples = run.scenario, run.samples
    late = float(samples.percentiles_s([0.99], "pacing")[0]) * 1e3
    total = part(run)
    return Summary(
        title=scenario.title,
        scenario=scenario.path.name,
        target=scenario.target.url,
        began=datetime.fromtimestamp(samples.began_unix_s, UTC).isoformat(timespec="seconds"),
        users=scenario.users,
        seed=scenario.seed,
        duration_s=scenario.duration_s,
        warmup_s=scenario.warmup_s,
        ended=run.ended,
        reason=run.reason,
        seconds=run.seconds,
        total=total,
        answered=bool(total.statuses),
        steps=tuple(
            StepFigures(name=step.name, figures=part(run, step.name)) for step in scenario.steps
        ),
        over_time=seconds_of(samples, run.verdict, run.seconds),
        thresholds=tuple(Threshold.judged(one, part(run, one.step)) for one in scenario.thresholds),
        generator=Generator(
            busy_share=samples.busy_share,
            late_p99_ms=late if np.isfinite(late) else float("nan"),
            void_reason=run.void_reason or samples.void_reason,
            workers=run.workers,
            clocks_ms=run.clocks_ms,
        ),
    )
