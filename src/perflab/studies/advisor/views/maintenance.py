"""Misestimates, findings and what mending them came to, as tables and a plot."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from perflab.advisor.maintenance.mending import PlanChange
from perflab.measure.comparison import Comparison
from perflab.report import plots
from perflab.report.not_run import NotRun
from perflab.report.tables import Column, Table, build
from perflab.studies.advisor.maintenance import Upkeep
from perflab.studies.frames import comparison_row

_WORDS = {
    "correlated": "correlated columns",
    "coarse": "too few values kept",
    "dead": "dead rows",
    "stale": "stale statistics",
    "bloat": "bloat",
    "index bloat": "index bloat",
    "off": "autovacuum off",
    "autovacuum": "autovacuum late",
}


def misestimates_table(upkeep: Upkeep) -> Table | NotRun:
    """Every node whose rows the planner did not foresee, and what would cure it."""
    if not upkeep.diagnoses:
        return NotRun("misestimates", "every plan met about the rows that it expected")
    frame = pd.DataFrame(
        [
            {
                "statement": one.seen.statement,
                "node": f"{one.seen.node} ({one.seen.table})" if one.seen.table else one.seen.node,
                "columns": ", ".join(one.seen.columns),
                "expected": one.seen.expected,
                "met": one.seen.met,
                "factor": one.seen.factor,
                "cured": one.cured,
                "verdict_text": one.verdict,
            }
            for one in upkeep.diagnoses
        ]
    )
    return build(
        frame,
        [
            Column("statement", "statement"),
            Column("node", "where"),
            Column("columns", "asked about"),
            Column("expected", "rows expected", 0),
            Column("met", "rows met", 0),
            Column("factor", "wrong by", 0),
            Column("cured", "expected with the cure", 0),
            Column("verdict_text", "what cures it"),
        ],
        title=f"{len(frame)} places where a plan met other rows than it expected",
        subtitle="EXPLAIN (ANALYZE) on the copy. Only the lowest wrong place of each branch.",
    )


def findings_table(upkeep: Upkeep) -> Table | NotRun:
    """What is wrong, most urgent first, what to run, and what came of it on the copy."""
    if not upkeep.findings:
        return NotRun("statistics and maintenance", "nothing needs to be done")
    frame = pd.DataFrame(
        [
            {
                "kind": _WORDS[one.finding.kind],
                "table": one.finding.table,
                "figure": one.finding.figure,
                "run": "; ".join(one.finding.statements),
                "outcome": one.outcome,
            }
            for one in upkeep.mended
        ]
    )
    return build(
        frame,
        [
            Column("kind", "finding"),
            Column("table", "table"),
            Column("figure", "because"),
            Column("run", "run"),
            Column("outcome", "measured after it"),
        ],
        title=f"{len(frame)} findings, most urgent first",
        subtitle="All of them were run on one copy. Faster: the median's 95 % interval lies below"
        " that of the same statement before.",
    )


def mended_table(upkeep: Upkeep) -> Table | NotRun:
    """The statements that read what was mended: plans and medians before and after."""
    timed = _timed(upkeep)
    if not timed:
        return NotRun("mended statements", "no statement reads a table that was mended")
    frame = pd.DataFrame(
        [
            {
                "statement": name,
                "plan_before": plan.before,
                "plan_after": plan.after,
                **comparison_row(comparison, "median"),
            }
            for name, (plan, comparison) in timed.items()
        ]
    )
    changed = sum(plan.flipped for plan, _comparison in timed.values())
    return build(
        frame,
        [
            Column("statement", "statement"),
            Column("plan_before", "plan before"),
            Column("plan_after", "plan after"),
            Column("before", "median before (ms)", 2, interval=True),
            Column("after", "after (ms)", 2, interval=True),
            Column("ratio", "after/before", 3, interval=True),
            Column("aa", "A/A ratio", 2, interval=True),
        ],
        title=f"{changed} of {len(frame)} plans changed",
    )


def mended_plot(upkeep: Upkeep) -> Figure | NotRun:
    """The same statements' medians."""
    timed = _timed(upkeep)
    if not timed:
        return NotRun("mended statements", "no statement reads a table that was mended")
    frame = pd.DataFrame(
        [{"label": name, **comparison_row(c, "median")} for name, (_plan, c) in timed.items()]
    )
    faster = {name for one in upkeep.mended for name in one.faster}
    return plots.before_after(
        frame,
        title=f"Mended: {len(faster)} of {len(frame)} statements are faster, indexes unchanged",
        x="median latency (ms)",
    )


def _timed(upkeep: Upkeep) -> dict[str, tuple[PlanChange, Comparison]]:
    return {
        name: (one.plans[name], comparison)
        for one in upkeep.mended
        for name, comparison in one.timed.items()
    }
