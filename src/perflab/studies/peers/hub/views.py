"""Fan-out as a table and a plot."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from perflab.measure.statistics import Interval
from perflab.report import plots
from perflab.report.tables import Column, Table, build
from perflab.studies.frames import triple
from perflab.studies.peers.hub.fanout import OURS, Fanout
from perflab.studies.peers.hub.verdicts import SAVES


def fanout_frame(fanout: Fanout) -> pd.DataFrame:
    """One row a side and rate."""
    return pd.DataFrame(
        [
            {
                "side": side,
                "rate": rate,
                **triple("per_cpu_s", fanout.per_cpu_s(side, rate)),
                **triple("times", fanout.times(side, rate)),
                **triple("p99", fanout.p99_ms(side, rate)),
                "deliveries": sum(one.deliveries for one in visits),
            }
            for (side, rate), visits in sorted(fanout.visits.items())
        ]
    )


def fanout_table(fanout: Fanout) -> Table:
    """What each side makes of a second of CPU time."""
    return build(
        fanout_frame(fanout),
        [
            Column("side", "side"),
            Column("rate", "messages a second", 0),
            Column("per_cpu_s", "deliveries a CPU second", 0, interval=True),
            Column("times", "times the broadcast's", 1, interval=True),
            Column("p99", "p99 (ms)", 0, interval=True),
            Column("deliveries", "deliveries"),
        ],
        title=f"One hot channel with {fanout.listening:,} connections",
        subtitle="CPU time of the hub's process alone, the system's on its behalf included."
        " Every connection got every message once.",
    )


def saves_text(fanout: Fanout) -> str:
    """From which rate on it is worth it, in a sentence."""
    rate = fanout.rate_of(SAVES)
    if not isinstance(rate, Interval):
        return f"{SAVES:g} times fewer CPU seconds: not estimable, {rate.reason}"
    return (
        f"From {rate.estimate:.0f} [{rate.lo:.0f}, {rate.hi:.0f}] messages a second on a delivery"
        f" costs {SAVES:g} times less CPU time than by broadcast"
    )


def fanout_plot(fanout: Fanout) -> Figure:
    """How the lead grows with the rate of messages."""
    frame = fanout_frame(fanout)
    return plots.curves(
        frame[frame["side"] == OURS],
        x="rate",
        y="times",
        hue="side",
        title="The more messages share a frame, the less CPU time each takes",
        x_label="messages a second into the channel",
        y_label="deliveries a CPU second: times as many",
        log="xy",
        reference=SAVES,
        reference_label=f"{SAVES:g} times",
    )
