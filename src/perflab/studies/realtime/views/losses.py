"""What is lost, and who is slow, as tables and a plot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from perflab.report import plots
from perflab.report.not_run import NotRun, or_not_run
from perflab.report.tables import Column, Table, build
from perflab.studies.realtime.hot import SLOW_BYTES, SLOW_QUEUE, Slow
from perflab.studies.realtime.losses import Loss, Restart
from perflab.studies.realtime.views.figures import FIGURES


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
        FIGURES,
        title="Redis away for a moment: a gap is announced, never silent",
        subtitle=f"{restart.cause.capitalize()}. A Redis that kept its data leaves no gap.",
    )


def slow_table(slow: Slow) -> Table:
    """Consumers that take nothing."""
    return build(
        slow.frame(),
        FIGURES,
        title="Slow consumers cost only themselves",
        subtitle=f"Messages of {SLOW_BYTES // 1_000} kB; the queue of a connection is"
        f" {SLOW_QUEUE} messages instead of 1,000, so that a short run overflows it. What was left"
        " out is told to the consumer when it reads again.",
    )
