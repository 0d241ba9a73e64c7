"""Many connections and what they cost, as tables."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd

from perflab.realtime import LANES
from perflab.report.not_run import or_not_run
from perflab.report.tables import Column, Table, build
from perflab.studies.frames import comparison_frame
from perflab.studies.realtime.delivery import MOST_BYTES, MOST_IDLE_PERCENT, Ramp
from perflab.studies.realtime.many import Many
from perflab.studies.realtime.pooling import BURST, POOL, Pooling
from perflab.studies.realtime.views.figures import FIGURES

_Row: TypeAlias = tuple[str, object, str]
"""What, how much, and what is required."""


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
        [*FIGURES, Column("required", "required at 10,000")],
        title=f"{ramp.connections:,} connections over two hubs",
        subtitle="50 handshakes under way at once. Sockets take about 4 kB each of the kernel's"
        " memory on top. The clients run in a process of their own.",
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
