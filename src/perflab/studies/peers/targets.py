"""Targets: what a contest was meant to show, and whether it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from perflab.measure.claims import DIRECTIONS, Claim, Verdict, figure, judge
from perflab.measure.statistics import Estimate
from perflab.report.tables import Column, Table, build
from perflab.studies.frames import triple
from perflab.studies.peers.contest import Contest
from perflab.studies.promised import kept

NOTEBOOK = "08_peers"


@dataclass(frozen=True)
class Judged:
    """A target beside what was measured."""

    target: Claim
    measured: Estimate
    verdict: Verdict


def target(name: str, wording: str, direction: str, value: float, unit: str) -> Claim:
    """A promise of our own; ``direction`` is a key of ``DIRECTIONS``."""
    return Claim(
        id=f"peers.{name}",
        area="peers",
        table=NOTEBOOK,
        metric="count",
        unit=unit,
        direction=direction,
        target=value,
        wording=wording,
        notebook=NOTEBOOK,
    )


def judged(promise: Claim, measured: Estimate, aa: Estimate | None = None) -> Judged:
    """The verdict by the lab's rule: the whole interval on the promised side."""
    return Judged(promise, measured, judge(promise, measured, aa))


def judged_lead(promise: Claim, contest: Contest) -> Judged:
    """``judged`` for how many times faster ours is."""
    return judged(promise, contest.times_faster, contest.aa)


def verdict_frame(results: Sequence[Judged]) -> pd.DataFrame:
    """One row a target."""
    return pd.DataFrame(
        [
            {
                "target": one.target.wording,
                "required": f"{DIRECTIONS[one.target.direction]} {figure(one.target.target)}",
                **triple("measured", one.measured),
                "unit": one.target.unit,
                "verdict": one.verdict.word,
            }
            for one in results
        ]
    )


def verdict_table(results: Sequence[Judged], title: str) -> Table:
    """Every target with its verdict."""
    frame = verdict_frame(results)
    return build(
        frame,
        [
            Column("target", "target"),
            Column("required", "required"),
            Column("measured", "measured", interval=True),
            Column("unit", "unit"),
            Column("verdict", "verdict"),
        ],
        title=f"{title}: {kept(frame['verdict'], 'targets reached')}",
        subtitle="Met: the whole 95 % interval is on the required side. Cannot tell: it is not, "
        "or ours measured twice differs (A/A).",
    )
