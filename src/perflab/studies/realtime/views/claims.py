"""The plan's claims of real time, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from perflab.measure.claims import Claims
from perflab.measure.results import Result
from perflab.report.not_run import NotRun
from perflab.report.tables import Table
from perflab.studies.promised import plan_view, verdict_view
from perflab.studies.realtime import verdicts


def plan_table(results: Sequence[Result], claims: Claims) -> Table | NotRun:
    """The plan's table of real time."""
    return plan_view(
        verdicts.plan_frame(results, claims),
        "Real-time connections: claimed and measured",
        "With 95 % intervals. Counts have none.",
    )


def verdict_table(results: Sequence[Result], claims: Claims) -> Table | NotRun:
    """Every claim of the notebook."""
    return verdict_view(verdicts.verdict_frame(results, claims), "real time")
