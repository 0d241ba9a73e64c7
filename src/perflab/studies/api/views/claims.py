"""The API's claims as tables: promised beside measured, with the verdict."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from perflab.measure.claims import Claims
from perflab.measure.results import Result
from perflab.report.not_run import NotRun
from perflab.report.tables import Column, Table, build
from perflab.studies.api import verdicts
from perflab.studies.api.promises import Counts
from perflab.studies.promised import plan_view, promise_plot, verdict_view


def plan_table(results: Sequence[Result], claims: Claims) -> Table | NotRun:
    """The plan's table of endpoints."""
    return plan_view(
        verdicts.plan_frame(results, claims),
        "API performance benchmarks: claimed and measured",
        "Averages with 95 % intervals; capacities with the bracket of their search.",
    )


def verdict_table(results: Sequence[Result], claims: Claims) -> Table | NotRun:
    """Every claim of the notebook."""
    return verdict_view(verdicts.verdict_frame(results, claims), "the API")


def latency_plot(results: Sequence[Result], claims: Claims) -> Figure | NotRun:
    """Measured averages beside the promised ones."""
    frame = verdicts.plan_frame(results, claims)
    averages = frame[frame["unit"] == "ms"]
    return promise_plot(averages, "averages", "hold at the promised rate", "average latency (ms)")


def quotas_table(counts: Counts) -> Table:
    """What each quota grants in the worst window."""
    frame = pd.DataFrame(
        [
            {
                "policy": policy.name,
                "quota": policy.limit,
                "period_s": policy.period_s,
                "algorithm": policy.algorithm,
                "granted": counts.granted[policy.name],
            }
            for policy in counts.policies
        ]
    )
    return build(
        frame,
        [
            Column("policy", "policy"),
            Column("quota", "quota"),
            Column("period_s", "in (s)", 0),
            Column("algorithm", "algorithm"),
            Column("granted", "granted in the worst window"),
        ],
        title="Quotas, and what one subject can get out of them",
        subtitle="Time lapse: the real limiter, with the time of each request as an argument.",
    )
