"""Improvement against table size: where an index starts to pay as much as was claimed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping

import msgspec
import pandas as pd

from perflab.measure.comparison import Comparison
from perflab.profiles import DatabaseSizes
from perflab.progress import Step
from perflab.studies.database.application import make_lab_arms
from perflab.studies.database.arms import LabArms, needs_lab_schema
from perflab.studies.database.improvement import Improvement, measure_improvement
from perflab.studies.frames import comparison_row


@needs_lab_schema("improvement against table size")
def measure_scaling(
    largest: LabArms,
    improvement: Improvement,
    sizes: DatabaseSizes,
    *,
    seed: int,
    without: Collection[str] = (),
    step: Step | None = None,
) -> pd.DataFrame:
    """The claimed categories at each of the profile's sizes; the largest is already measured.

    Columns: users, rows, category and those of a comparison's row.
    """
    found: list[tuple[LabArms, dict[str, Comparison]]] = []
    once = msgspec.structs.replace(sizes, calls=1)  # the curve needs means only
    for users in sizes.scaling_users:
        arms = make_lab_arms(
            largest.datasets,
            users=users,
            without=without,
            plan_cache_mode=largest.plan_cache_mode,
            step=step,
        )
        smaller = measure_improvement(arms, once, seed, step, arms.claimed)
        found.append((arms, smaller.by_category))
    found.append((largest, improvement.by_category))
    return pd.DataFrame(
        [
            {
                "users": arms.population.users,
                "rows": arms.rows,
                "category": category,
                **comparison_row(by_category[category]),
            }
            for arms, by_category in found
            for category in improvement.claimed
        ]
    )


def sizes_where_true(scaling: pd.DataFrame, claimed_percent: Mapping[str, float]) -> pd.DataFrame:
    """For each claim the smallest measured size whose whole interval is on the promised side.

    ``about_rows`` interpolates the estimate linearly over the logarithm of the rows between the
    sizes on either side of the claim; empty where the claim holds at every size or at none.
    """
    rows = []
    for category, claimed in claimed_percent.items():
        part = scaling[scaling["category"] == category].sort_values("rows")
        holds = part[part["reduction_lo"] >= claimed]
        rows.append(
            {
                "category": category,
                "claimed": claimed,
                "smallest_rows": int(holds["rows"].iloc[0]) if len(holds) else None,
                "about_rows": _crossing(part, claimed),
            }
        )
    frame = pd.DataFrame(rows)
    return frame.astype({"smallest_rows": "Int64", "about_rows": "Int64"})


def _crossing(part: pd.DataFrame, claimed: float) -> int | None:
    points = list(zip(part["rows"], part["reduction"], strict=True))
    for (rows_a, a), (rows_b, b) in itertools.pairwise(points):
        if a < claimed <= b:
            share = (claimed - a) / (b - a)
            return round(math.exp(math.log(rows_a) + share * math.log(rows_b / rows_a)))
    return None
