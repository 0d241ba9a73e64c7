"""Targets: what a notebook of the lab was meant to show, and whether it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from perflab.measure.claims import DIRECTIONS, Claim, Verdict, figure, judge
from perflab.measure.statistics import Estimate
from perflab.report.tables import Column, Table, build
from perflab.studies.frames import triple
from perflab.studies.promised import kept


@dataclass(frozen=True)
class Judged:
    """A target beside what was measured."""

    target: Claim
    measured: Estimate
    verdict: Verdict


def target(
    notebook: str, name: str, wording: str, direction: str, value: float, unit: str
) -> Claim:
    """A promise of our own; ``direction`` is a key of ``DIRECTIONS``."""
    area = notebook.partition("_")[2]
    return Claim(
        id=f"{area}.{name}",
        area=area,
        table=notebook,
        metric="count",
        unit=unit,
        direction=direction,
        target=value,
        wording=wording,
        notebook=notebook,
    )


def judged(
    promise: Claim, measured: Estimate, aa: Estimate | None = None, *, saturated: bool = False
) -> Judged:
    """The verdict by the lab's rule: the whole interval on the promised side; see ``judge``."""
    return Judged(promise, measured, judge(promise, measured, aa, saturated=saturated))


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


def target_table(results: Sequence[Judged], title: str, control: str = "") -> Table:
    """Every target with its verdict; ``control`` says when else nothing can be told."""
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
        subtitle="Met: the whole 95 % interval is on the required side. Cannot tell: it is not"
        f"{control}.",
    )
