"""The connection pool: what it saves, how it is shared, and an outage."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from perflab.report import plots
from perflab.report.tables import Column, Table, build
from perflab.studies.database.connections import RESTARTED, Outage, Sharing
from perflab.studies.database.views.columns import AA, REDUCTION


def connections_table(connections: pd.DataFrame) -> Table:
    """Connect per query against a pooled connection."""
    return build(
        connections,
        [
            Column("query", "query"),
            Column("before", "connect per query (ms)", 2, interval=True),
            Column("after", "pooled (ms)", 2, interval=True),
            REDUCTION,
            AA,
        ],
        title="A connection for each query, or one from the pool",
    )


def sharing_table(sharing: Sharing) -> Table:
    """Fifty callers on ten connections."""
    frame = pd.DataFrame(
        [
            {
                "callers": sharing.callers,
                "calls": sharing.calls,
                "failed": sharing.failed,
                "backends": sharing.most_backends,
                "queued": sharing.stats.queued,
                "wait_ms": sharing.stats.wait_ms / max(1, sharing.stats.queued),
                "per_s": sharing.calls / sharing.seconds,
            }
        ]
    )
    return build(
        frame,
        [
            Column("callers", "callers"),
            Column("calls", "calls"),
            Column("failed", "failed"),
            Column("backends", "most server processes at once"),
            Column("queued", "calls that had to wait"),
            Column("wait_ms", "mean wait of those (ms)", 1),
            Column("per_s", "calls/s", 0),
        ],
        title="Many callers share the pool",
        subtitle="Each call holds its connection for at least 1 ms.",
    )


def outage_table(outage: Outage) -> Table:
    """What was lost in the restart: nothing, if all is well."""
    reads = int((outage.calls["kind"] == "read").sum())
    facts: list[tuple[str, object]] = [
        ("reads answered", reads),
        ("reads failed", outage.failed_reads),
        ("writes acknowledged", outage.acknowledged),
        ("writes failed", outage.failed_writes),
        ("acknowledged writes that are lost", outage.lost),
        ("writes applied twice", outage.applied_twice),
        ("writes that a retry found already applied", outage.stats.replays),
        ("attempts beyond the first", outage.stats.retries),
        ("server away for (s)", sum(end - start for start, end in outage.outages)),
        ("slowest call (ms)", float(outage.calls["ms"].max()) if len(outage.calls) else None),
    ]
    return build(
        pd.DataFrame(facts, columns=["what", "count"]),
        [Column("what", "what"), Column("count", "figure")],
        title="An outage under load",
        subtitle=f"{outage.cause[0].upper()}{outage.cause[1:]}.",
    )


def outage_plot(outage: Outage) -> Figure:
    """Calls over time, the outage shaded."""
    lost = outage.failed_reads + outage.failed_writes + outage.lost + outage.applied_twice
    what = "a restart" if outage.cause == RESTARTED else "cut connections"
    return plots.timeline(
        outage.calls,
        outages=outage.outages,
        title=f"Through {what} no call fails and no write is lost or doubled"
        if not lost
        else f"Through {what} {lost} calls or writes were lost",
        y_label="time until answered (ms)",
    )
