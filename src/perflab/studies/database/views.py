"""Tables and plots of the database study: results in, something to look at out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd
from matplotlib.figure import Figure

from perflab.database.plans import Plan
from perflab.measure.claims import Claims
from perflab.measure.results import Result
from perflab.report import plots
from perflab.report.not_run import NotRun, or_not_run
from perflab.report.tables import Column, Table, build
from perflab.studies.database import verdicts
from perflab.studies.database.arms import Arms
from perflab.studies.database.connections import RESTARTED, Outage, Sharing
from perflab.studies.database.improvement import Improvement, plan_frame
from perflab.studies.database.scaling import sizes_where_true
from perflab.studies.database.writes import WriteCosts, index_frame

_LATENCIES = (
    Column("before", "before (ms)", 2, interval=True),
    Column("after", "after (ms)", 2, interval=True),
)
_REDUCTION = Column("reduction", "faster by (%)", 1, interval=True)
_NO_CLAIM = "no claim about an improvement is judged here; --claims FILE names your own"
_AA = Column("aa", "A/A ratio", 2, interval=True)


def plan_table(results: Iterable[Result], claims: Claims) -> Table | NotRun:
    """The plan's improvement table, claimed beside measured."""
    frame = verdicts.plan_table(results, claims)
    if frame.empty:
        return NotRun("improvements claimed and measured", _NO_CLAIM)
    return build(
        frame,
        [
            Column("row", "category"),
            Column("claimed_before", "claimed before (ms)", 0),
            Column("claimed_after", "claimed after (ms)", 0),
            Column("claimed", "claimed (%)", 0),
            *_LATENCIES,
            Column("measured", "faster by (%)", 1, interval=True),
            _AA,
            Column("verdict", "verdict"),
        ],
        title="Database performance improvements: claimed and measured",
        subtitle="Means with 95 % intervals. An A/A interval that misses 1 makes a verdict "
        "'cannot tell'.",
    )


def verdict_table(results: Iterable[Result], claims: Claims) -> Table | NotRun:
    """Every claim judged so far, whatever its metric."""
    frame = verdicts.verdict_frame(results, claims)
    if frame.empty:
        return NotRun("verdicts", _NO_CLAIM)
    return build(
        frame,
        [
            Column("claim", "claim"),
            Column("promise", "promised"),
            Column("measured", "measured", interval=True),
            Column("unit", "unit"),
            Column("verdict", "verdict"),
            Column("reason", "reason"),
        ],
        title="Every claim judged here",
    )


def verdict_plot(results: Iterable[Result], claims: Claims) -> Figure | NotRun:
    """Measured improvement beside the promised one."""
    frame = verdicts.verdict_frame(results, claims)
    if frame.empty or not (frame["unit"] == "%").any():
        return NotRun("improvements promised and measured", _NO_CLAIM)
    frame = frame[frame["unit"] == "%"].rename(
        columns={"row": "label", "measured": "estimate", "measured_lo": "lo", "measured_hi": "hi"}
    )
    held = int((frame["verdict"] == "met").sum())
    return plots.verdicts(
        frame,
        title=f"{held} of {len(frame)} promised improvements are met at this size",
        x="mean latency lower than before by (%)",
    )


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
            *_LATENCIES,
            _REDUCTION,
            Column("p95", "p95 lower by (%)", 1, interval=True),
            Column("p99", "p99 lower by (%)", 1, interval=True),
            Column("n", "calls an arm"),
            _AA,
        ],
        title="Query by query",
    )


def users_table(improvement: Improvement) -> Table:
    """The claimed categories by how much of the data the parameters touch."""
    return build(
        improvement.selectivities(),
        [Column("users", "parameters"), *_LATENCIES, _REDUCTION, Column("n", "calls an arm")],
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


@or_not_run
def paging_plot(paging: pd.DataFrame) -> Figure:
    """Latency against depth."""
    return plots.curves(
        _by_arm(paging, "page", {"before": "offset", "after": "keyset"}),
        x="page",
        y="ms",
        hue="arm",
        log="xy",
        title="A keyset page costs the same at any depth; an OFFSET page does not",
        x_label="page number",
        y_label="mean latency (ms)",
    )


@or_not_run
def paging_table(paging: pd.DataFrame) -> Table:
    """OFFSET and keyset by page."""
    return build(
        paging,
        [
            Column("page", "page"),
            Column("before", "OFFSET (ms)", 2, interval=True),
            Column("after", "keyset (ms)", 2, interval=True),
            Column("ratio", "keyset/OFFSET", 3, interval=True),
            _AA,
        ],
        title="Pages of 20 rows",
    )


@or_not_run
def filtering_plot(filtering: pd.DataFrame) -> Figure:
    """Latency against the share of rows that match."""
    shares = filtering.dropna(subset=["share_percent"])
    return plots.curves(
        _by_arm(shares, "share_percent", {"before": "before", "after": "after"}),
        x="share_percent",
        y="ms",
        hue="arm",
        log="xy",
        title="The more rows match, the less an index helps",
        x_label="rows that match (% of the table)",
        y_label="mean latency (ms)",
    )


@or_not_run
def filtering_table(filtering: pd.DataFrame) -> Table:
    """Both arms by share, with the plan chosen after."""
    return build(
        filtering,
        [
            Column("filter", "rows that match"),
            *_LATENCIES,
            _REDUCTION,
            Column("plan", "plan after"),
        ],
        title="Filtering by selectivity",
    )


def index_table(arms: Arms) -> Table:
    """Build time, size and WAL of every index."""
    frame = index_frame(arms)
    total_mib, tables_mib = frame["size_mib"].sum(), arms.before_bytes / 2**20
    return build(
        frame,
        [
            Column("index", "index"),
            Column("serves", "serves"),
            Column("build_s", "build (s)", 2),
            Column("size_mib", "size (MiB)", 2),
            Column("wal_mib", "WAL (MiB)", 2),
        ],
        title=f"What after adds takes {total_mib:,.0f} MiB beside {tables_mib:,.0f} MiB "
        f"and {frame['build_s'].sum():.1f} s to build",
    )


@or_not_run
def writes_table(costs: WriteCosts) -> Table:
    """Slowdown, WAL and heap-only updates of each kind of write."""
    return build(
        costs.slowdown.merge(costs.wal, on="write"),
        [
            Column("write", "write"),
            *_LATENCIES,
            Column("ratio", "after/before", 2, interval=True),
            _AA,
            Column("wal_bytes_before", "WAL a row before (bytes)", 0),
            Column("wal_bytes_after", "WAL a row after (bytes)", 0),
            Column("hot_percent_before", "HOT before (%)", 0),
            Column("hot_percent_after", "HOT after (%)", 0),
        ],
        title="Writes of many rows in one statement",
    )


@or_not_run
def writes_plot(costs: WriteCosts) -> Figure:
    """How many times longer each write takes."""
    worst = costs.slowdown["ratio"].max()
    return plots.bars(
        costs.slowdown,
        label="write",
        value="ratio",
        title=f"Writes pay for the indexes: up to {worst:.1f} times the time",
        x_label="time with indexes / time without (1 = no cost)",
    )


def planning_table(planning: pd.DataFrame) -> Table:
    """Planning time of every query."""
    return build(
        planning,
        [
            Column("query", "query"),
            Column("before", "before (ms)", 3),
            Column("after", "after (ms)", 3),
            Column("ratio", "after/before", 2, interval=True),
        ],
        title="Planning time, as the server reports it",
        subtitle="Medians; ratios with 95 % intervals.",
    )


def connections_table(connections: pd.DataFrame) -> Table:
    """Connect per query against a pooled connection."""
    return build(
        connections,
        [
            Column("query", "query"),
            Column("before", "connect per query (ms)", 2, interval=True),
            Column("after", "pooled (ms)", 2, interval=True),
            _REDUCTION,
            _AA,
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


def _by_arm(frame: pd.DataFrame, x: str, names: Mapping[str, str]) -> pd.DataFrame:
    """One row an arm and ``x`` instead of one column an arm, as curves are drawn."""
    return pd.concat(
        [
            frame[[x, arm, f"{arm}_lo", f"{arm}_hi"]]
            .set_axis([x, "ms", "ms_lo", "ms_hi"], axis="columns")
            .assign(arm=name)
            for arm, name in names.items()
        ]
    )
