"""Real time as tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from perflab.measure.claims import Claims
from perflab.measure.results import Result
from perflab.realtime import LANES
from perflab.report import plots
from perflab.report.not_run import NotRun, or_not_run
from perflab.report.tables import Column, Table, build
from perflab.studies.frames import comparison_frame
from perflab.studies.promised import plan_view, verdict_view
from perflab.studies.realtime import verdicts
from perflab.studies.realtime.delivery import MOST_BYTES, MOST_IDLE_PERCENT, Delivery, Ramp
from perflab.studies.realtime.hot import SLOW_BYTES, SLOW_QUEUE, Slow, batching_frame
from perflab.studies.realtime.knee import LIMIT_MS, Knee, knee_frame
from perflab.studies.realtime.losses import Loss, Restart
from perflab.studies.realtime.many import Many
from perflab.studies.realtime.pooling import BURST, POOL, Pooling

_Row: TypeAlias = tuple[str, object, str]
"""What, how much, and what is required."""
_FIGURES = [Column("what", "what"), Column("figure", "figure")]


def ramp_table(ramp: Ramp) -> Table:
    """Connections and what they cost."""
    return _cost_table(ramp, _ramp_rows(ramp))


@or_not_run
def many_table(many: Many) -> Table:
    """The same of many more, and how long their messages take."""
    arrived = many.plan.arrived
    delivered: list[_Row] = [
        (
            f"{lane} lane, publish to callback: p{100 * q:g} (ms)",
            round(float(ms.quantile(q)), 1),
            "",
        )
        for lane in LANES
        for ms in (arrived.lane(lane)["ms"],)
        for q in (0.5, 0.99)
    ]
    counts: list[_Row] = [
        ("deliveries due", arrived.expected, ""),
        ("of them missing", arrived.missing, ""),
        ("of them twice", arrived.duplicates, ""),
    ]
    return _cost_table(many.ramp, [*_ramp_rows(many.ramp), *delivered, *counts])


def _ramp_rows(ramp: Ramp) -> list[_Row]:
    median, p99 = np.quantile(ramp.ready_ms, [0.5, 0.99])
    return [
        ("connections open at once", ramp.connections, ""),
        ("seconds until all were subscribed", round(ramp.took_s, 2), ""),
        ("one client, from start to subscribed: median (ms)", round(float(median), 1), ""),
        ("the same, p99 (ms)", round(float(p99), 1), ""),
        (
            "kB of the hubs' memory a connection",
            round(ramp.bytes_a_connection / 1e3, 1),
            f"at most {MOST_BYTES / 1e3:g}",
        ),
        (
            f"% of a core in {ramp.idle_s:g} s in which nothing happens",
            round(ramp.idle_percent, 1),
            f"at most {MOST_IDLE_PERCENT:g}",
        ),
    ]


def _cost_table(ramp: Ramp, rows: list[_Row]) -> Table:
    return build(
        pd.DataFrame(rows, columns=["what", "figure", "required"], dtype=object),
        [*_FIGURES, Column("required", "required at 10,000")],
        title=f"{ramp.connections:,} connections over two hubs",
        subtitle="50 handshakes under way at once. Sockets take about 4 kB each of the kernel's"
        " memory on top. The clients run in a process of their own.",
    )


def delivery_table(deliveries: Sequence[Delivery]) -> Table:
    """Latency by lane, and proof that everything arrived."""
    frame = pd.concat([one.frame() for one in deliveries], ignore_index=True)
    counts = "; ".join(
        f"{one.name}: {one.arrived.published:,} published at {one.published.per_min:,.0f} a minute,"
        f" {one.arrived.expected:,} deliveries due, {one.arrived.missing:,} missing,"
        f" {one.arrived.duplicates:,} twice"
        for one in deliveries
    )
    return build(
        frame,
        [
            Column("load", "batch interval"),
            Column("lane", "lane"),
            Column("deliveries", "deliveries"),
            Column("median", "median (ms)", 1, interval=True),
            Column("p95", "p95 (ms)", 1, interval=True),
            Column("p99", "p99 (ms)", 1, interval=True),
            Column("longest", "longest (ms)", 1),
        ],
        title="From when a message is due to be published to its callback",
        subtitle=counts + ". Ids prove it, message by message and client by client.",
    )


def knee_table(knee: Knee) -> Table:
    """Rising rates, and where they end."""
    return build(
        knee_frame(knee),
        [
            Column("per_min", "published a minute", 0),
            Column("per_s", "deliveries a second", 0),
            Column("critical_median", "critical: median (ms)", 1),
            Column("critical_p99", "p99 (ms)", 1),
            Column("normal_median", "normal: median (ms)", 1),
            Column("normal_p99", "p99 (ms) ", 1),
            Column("frames", "frames a delivery", 2),
            Column("busy", "hubs' core busy, %", 0),
            Column("held", "held"),
        ],
        title=_held(knee),
        subtitle=f"Held: nothing is missing, and the normal lane's p99 is at most {LIMIT_MS:g} ms."
        " Clients, publisher and Redis share the other core.",
    )


def knee_plot(knee: Knee) -> Figure:
    """Latency of each lane over the rate of deliveries."""
    frame = knee_frame(knee)
    rows = [
        {"per_s": row["per_s"], "ms": row[f"{lane}_{name}"], "series": f"{lane}, {name}"}
        for row in frame.to_dict("records")
        for lane in ("critical", "normal")
        for name in ("median", "p99")
    ]
    return plots.curves(
        pd.DataFrame(rows).round({"per_s": -2}),
        x="per_s",
        y="ms",
        hue="series",
        title=_held(knee),
        x_label="deliveries a second",
        y_label="publish to callback (ms)",
        log="xy",
        reference=LIMIT_MS,
        reference_label=f"{LIMIT_MS:g} ms",
    )


def _held(knee: Knee) -> str:
    if not knee.held:
        return f"p99 within {LIMIT_MS:g} ms not even at the plan's rate"
    most = knee.held[-1]
    per_s = most.arrived.delivered / most.published.seconds
    return f"p99 within {LIMIT_MS:g} ms up to {per_s:,.0f} deliveries a second"


def delivery_plot(deliveries: Sequence[Delivery]) -> Figure:
    """How latencies are distributed."""
    levels = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999])
    rows = [
        {
            "percent": 100 * level,
            "ms": max(0.01, float(one.arrived.lane(lane)["ms"].quantile(level))),
            "series": f"{lane}, {one.name}",
        }
        for one in deliveries
        for lane in ("critical", "normal")
        for level in levels
    ]
    return plots.curves(
        pd.DataFrame(rows),
        x="percent",
        y="ms",
        hue="series",
        title="Critical messages wait for no batch, normal ones for one",
        x_label="% of deliveries at most this slow",
        y_label="publish to callback (ms)",
        log="y",
    )


def flood_table(alone: Delivery, flooded: Delivery) -> Table:
    """The critical lane with and without a flood beside it."""
    frame = pd.concat(
        [
            alone.frame().assign(load="the plan's load"),
            flooded.frame().assign(load="a flood of normal messages"),
        ],
        ignore_index=True,
    )
    frame = frame[frame["lane"] == "critical"]
    rate = flooded.hubs["deliveries"].sum() / flooded.published.seconds
    return build(
        frame,
        [
            Column("load", "beside"),
            Column("deliveries", "critical deliveries"),
            Column("median", "median (ms)", 1, interval=True),
            Column("p95", "p95 (ms)", 1, interval=True),
            Column("longest", "longest (ms)", 1),
        ],
        title="Critical messages under a flood of normal ones",
        subtitle=f"The flood: {rate:,.0f} deliveries a second;"
        f" {flooded.arrived.missing:,} of all its deliveries missing.",
    )


def batching_table(deliveries: Sequence[Delivery]) -> Table:
    """What batching saves."""
    frame = batching_frame(list(deliveries))
    fewer = frame["frames"].iloc[0] / max(1, frame["frames"].iloc[-1])
    cheaper = frame["cpu_us"].iloc[0] / max(1e-9, frame["cpu_us"].iloc[-1])
    return build(
        frame,
        [
            Column("way", "normal messages in"),
            Column("deliveries", "deliveries"),
            Column("frames", "frames (a write each)"),
            Column("cpu_us", "hub's CPU time a delivery (µs)", 2),
            Column("median", "median (ms)", 1),
            Column("p95", "p95 (ms)", 1),
            Column("missing", "missing"),
        ],
        title=f"Batching on a hot channel: {fewer:.1f} times fewer frames,"
        f" {cheaper:.1f} times less CPU time",
        subtitle="The price is the wait for the batch, in the normal lane only.",
    )


def losses_table(losses: Sequence[Loss]) -> Table:
    """What was lost and how everybody came back."""
    return build(
        pd.DataFrame([loss.row() for loss in losses]),
        [
            Column("what", "loss"),
            Column("hit", "clients hit"),
            Column("detection_median", "detected: median (s)", 2),
            Column("detection_max", "longest (s)", 2),
            Column("reconnect_median", "reconnected: median (s)", 2),
            Column("reconnect_p99", "p99 (s)", 2),
            Column("reconnect_max", "slowest (s)", 2),
            Column("back", "back"),
            Column("expected", "deliveries due"),
            Column("missing", "missing"),
            Column("duplicates", "twice"),
            Column("gaps", "gaps told"),
            Column("balance", "connections left"),
        ],
        title="Losses: detection and reconnection apart",
        subtitle="Messages are published throughout. Reconnection counts from detection until the"
        " subscription continues. Heartbeats of 30 s with a timeout of 10 s unless marked.",
    )


def losses_plot(losses: Sequence[Loss]) -> Figure | NotRun:
    """How the clients came back."""
    rows = [
        {
            "percent": 100 * level,
            "s": max(1e-3, float(np.quantile(loss.reconnect_s, level))),
            "loss": loss.what,
        }
        for loss in losses
        if len(loss.reconnect_s)
        for level in np.linspace(0.02, 0.99, 25)
    ]
    if not rows:
        return NotRun("reconnection times", "no client was hit")
    return plots.curves(
        pd.DataFrame(rows),
        x="percent",
        y="s",
        hue="loss",
        title="From detection until the subscription continues",
        x_label="% of the clients hit",
        y_label="seconds",
        log="y",
    )


def herd_table(herd: pd.DataFrame) -> Table:
    """Reconnecting all at once."""
    return build(
        herd,
        [
            Column("jitter", "jitter"),
            Column("clients", "clients"),
            Column("most", "most back within 20 ms"),
            Column("median", "median (s)", 3),
            Column("longest", "longest (s)", 3),
        ],
        title="The herd: all clients of one hub cut off at the same moment",
    )


@or_not_run
def redis_table(restart: Restart) -> Table:
    """Redis away."""
    rows: list[tuple[str, object]] = [
        ("clients", restart.clients),
        ("clients told of a gap (recovered: false)", restart.told),
        ("clients that lost their connection", restart.disconnected),
        ("seconds until messages arrived again", round(restart.resumed_s, 2)),
    ]
    return build(
        pd.DataFrame(rows, columns=["what", "figure"], dtype=object),
        _FIGURES,
        title="Redis away for a moment: a gap is announced, never silent",
        subtitle=f"{restart.cause.capitalize()}. A Redis that kept its data leaves no gap.",
    )


def slow_table(slow: Slow) -> Table:
    """Consumers that take nothing."""
    return build(
        slow.frame(),
        _FIGURES,
        title="Slow consumers cost only themselves",
        subtitle=f"Messages of {SLOW_BYTES // 1_000} kB; the queue of a connection is"
        f" {SLOW_QUEUE} messages instead of 1,000, so that a short run overflows it. What was left"
        " out is told to the consumer when it reads again.",
    )


def pooling_table(pooling: Pooling) -> Table:
    """A connection each against connections kept, and one of them against several."""
    frame = comparison_frame(
        {
            "1 message: a connection of its own, or one kept open": pooling.kept,
            f"{BURST} messages at once: one connection, or a pool of {POOL}": pooling.several,
        }
    )
    return build(
        frame,
        [
            Column("label", "what"),
            Column("before", "the first (ms)", 2, interval=True),
            Column("after", "the second (ms)", 2, interval=True),
            Column("reduction", "faster by (%)", 1, interval=True),
            Column("aa", "A/A", 2, interval=True),
            Column("n", "calls an arm"),
        ],
        title="Connection pooling, from publish to the last callback",
        subtitle="The critical lane, since the normal one waits for its batch in both arms.",
    )


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
