"""The edge's hit ratio and latencies as tables."""

from __future__ import annotations

import pandas as pd

from perflab.report.not_run import NotRun, or_not_run
from perflab.report.tables import Column, Table, build
from perflab.studies.cache.edge import WORK_S, EdgeLatencies, EdgeRun


@or_not_run
def edge_hits_table(run: EdgeRun) -> Table:
    """Measured, by formula, and while cold."""
    return build(
        run.frame(),
        [
            Column("rate_rps", "requests/s imitated", 2),
            Column("factor", "time scaled by", 0),
            Column("measured", "measured (%)", 1, interval=True),
            Column("predicted", "by formula (%)", 1),
            Column("cold", "while cold (%)", 1),
            Column("requests", "requests"),
            Column("failed", "failed"),
            Column("late", "sent late (%)", 1),
            Column("p50_ms", "p50 from schedule (ms)", 2),
            Column("p95_ms", "p95 (ms)", 2),
        ],
        title=f"Hits at the edge: {run.pages:,} public pages, alpha {run.alpha:g}",
        subtitle=f"A lifetime of {run.ttl_s * run.factor / 3_600:.0f} h is {run.ttl_s:.0f} s here"
        " (nginx counts whole seconds, so up to one more; the formula takes half of that). What was"
        " revalidated with the origin is no hit.",
    )


@or_not_run
def edge_latency_table(latencies: EdgeLatencies) -> Table:
    """Pages past the edge and through it."""
    return build(
        latencies.frame(),
        [
            Column("where", "page from"),
            *(Column(n, f"{n} (ms)", 2, interval=True) for n in ("mean", "median", "p95")),
            Column("n", "calls"),
        ],
        title="Public pages, past the edge and through it",
        subtitle=f"Making a page takes the origin {1_000 * WORK_S:.0f} ms;"
        f" {100 * latencies.hit_share:.0f} % of the calls find it stored, as measured above.",
    )


def joined(purges: pd.DataFrame, edge: pd.DataFrame | NotRun) -> pd.DataFrame:
    """The rows of all tiers, those of the edge last."""
    return purges if isinstance(edge, NotRun) else pd.concat([purges, edge], ignore_index=True)
