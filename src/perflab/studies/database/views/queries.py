"""Each query in both arms: latency, plans, data sizes and throughput."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from perflab.database.plans import Plan
from perflab.measure.claims import Claims
from perflab.report import plots
from perflab.report.not_run import or_not_run
from perflab.report.tables import Column, Table, build
from perflab.studies.database import verdicts
from perflab.studies.database.improvement import Improvement, plan_frame
from perflab.studies.database.scaling import sizes_where_true
from perflab.studies.database.views.columns import AA, LATENCIES, REDUCTION


def plans_table(plans: Mapping[str, tuple[Plan, Plan]]) -> Table:
    """Scans and buffers of each query in both arms."""
    return build(
        plan_frame(dict(plans)),
        [
            Column("query", "query"),
            Column("before", "before"),
            Column("after", "after"),
            Column("buffers_before", "buffers before"),
            Column("buffers_after", "buffers after"),
        ],
        title="Plans: how the rows are found",
    )


def query_plot(improvement: Improvement) -> Figure:
    """Every query's mean in both arms."""
    frame = improvement.queries()
    frame["label"] = frame["category"] + " · " + frame["query"]
    return plots.before_after(frame, title=_finding(frame))


def _finding(frame: pd.DataFrame) -> str:
    """What the queries' reductions say, as a title."""
    least, most = frame["reduction"].min(), frame["reduction"].max()
    faster, slower = (frame["reduction_lo"] > 0).sum(), (frame["reduction_hi"] < 0).sum()
    if faster == len(frame):
        return f"Indexed, each query is {least:.0f} to {most:.0f} % faster"
    return (
        f"{faster} of {len(frame)} queries are faster, by up to {most:.0f} %; "
        f"{slower} slower, {len(frame) - faster - slower} not told apart"
    )


def query_table(improvement: Improvement) -> Table:
    """Mean, p95 and p99 of every query."""
    frame = improvement.queries()
    for name in ("p95", "p99"):
        reductions = improvement.queries(name)
        for end in ("", "_lo", "_hi"):
            frame[f"{name}{end}"] = reductions[f"reduction{end}"]
    return build(
        frame,
        [
            Column("category", "category"),
            Column("query", "query"),
            *LATENCIES,
            REDUCTION,
            Column("p95", "p95 lower by (%)", 1, interval=True),
            Column("p99", "p99 lower by (%)", 1, interval=True),
            Column("n", "calls an arm"),
            AA,
        ],
        title="Query by query",
    )


def users_table(improvement: Improvement) -> Table:
    """The claimed categories by how much of the data the parameters touch."""
    return build(
        improvement.selectivities(),
        [Column("users", "parameters"), *LATENCIES, REDUCTION, Column("n", "calls an arm")],
        title="All claimed categories by how much of the data the parameters touch",
    )


@or_not_run
def scaling_plot(scaling: pd.DataFrame) -> Figure:
    """Improvement against rows."""
    return plots.curves(
        scaling,
        x="rows",
        y="reduction",
        hue="category",
        log="x",
        title="The larger the tables, the more an index gains",
        x_label="rows in the database",
        y_label="mean latency lower by (%)",
        reference=85,
        reference_label="85 %",
    )


@or_not_run
def scaling_table(scaling: pd.DataFrame, claims: Claims) -> Table:
    """The size from which each claim is true."""
    claimed = {
        name: percent
        for name, percent in verdicts.claimed_reductions(claims).items()
        if name in set(scaling["category"])
    }
    return build(
        sizes_where_true(scaling, claimed),
        [
            Column("category", "category"),
            Column("claimed", "claimed (%)", 0),
            Column("smallest_rows", "met from (rows, smallest size measured)"),
            Column("about_rows", "estimate crosses the claim at about (rows)"),
        ],
        title="The size at which each claim becomes true",
        subtitle="–: at no size measured; in the last column also: above it at every size.",
    )


def throughput_table(throughput: pd.DataFrame) -> Table:
    """Queries per second and p95."""
    return build(
        throughput,
        [
            Column("clients", "clients"),
            Column("arm", "arm"),
            Column("per_s", "queries/s", 0, interval=True),
            Column("p95_ms", "p95 (ms)", 1, interval=True),
            Column("calls", "calls"),
            Column("client_share", "client's share of a core", 2),
            Column("saturated", "client was the limit (≥)"),
        ],
        title="Throughput and p95 by number of clients",
    )


def throughput_plot(throughput: pd.DataFrame) -> Figure:
    """Queries per second against clients."""
    return plots.curves(
        throughput,
        x="clients",
        y="per_s",
        hue="arm",
        log="xy",
        title=f"Indexed, the same machine answers {_gain(throughput)} the queries",
        x_label="concurrent clients",
        y_label="queries per second",
    )


def _gain(throughput: pd.DataFrame) -> str:
    """The largest ratio of both arms' throughput, in words."""
    per_s = throughput.pivot_table(index="clients", columns="arm", values="per_s")
    return f"up to {(per_s['after'] / per_s['before']).max():.1f} times"
