"""How messages arrive, as tables and plots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from perflab.report import plots
from perflab.report.tables import Column, Table, build
from perflab.studies.realtime.delivery import Delivery
from perflab.studies.realtime.hot import batching_frame
from perflab.studies.realtime.knee import LIMIT_MS, Knee, knee_frame


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
