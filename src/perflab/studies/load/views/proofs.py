"""The proofs of the generator as tables and plots."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from perflab.measure.statistics import Interval
from perflab.report import plots
from perflab.report.not_run import NotRun
from perflab.report.tables import Column, Table, build
from perflab.studies.frames import triple
from perflab.studies.load.accuracy import (
    AGREED_CONNECTIONS,
    AGREED_US,
    Accuracy,
    Agreement,
)
from perflab.studies.load.accuracy import (
    QUANTILES as KNOWN_QUANTILES,
)
from perflab.studies.load.stall import CLOSED, OPEN, QUANTILES, SENT, Stall


def stall_frame(stall: Stall) -> pd.DataFrame:
    """One row a way of measuring: its percentiles in ms."""
    parts = [
        (OPEN, stall.opened, "latency"),
        (SENT, stall.opened, "service"),
        (CLOSED, stall.closed, "latency"),
    ]
    rows = []
    for name, samples, of in parts:
        times = samples.percentiles_s(list(QUANTILES.values()), of) * 1e3  # type: ignore[arg-type]
        rows.append({"way": name, "n": len(samples), **dict(zip(QUANTILES, times, strict=True))})
    return pd.DataFrame(rows)


def stall_table(stall: Stall) -> Table:
    """What each way of measuring says of the same server."""
    share = stall.stopped_s / stall.seconds
    return build(
        stall_frame(stall),
        [
            Column("way", "measured"),
            Column("n", "requests"),
            *(Column(name, f"{name} ms", 1) for name in QUANTILES),
        ],
        title=f"A server that stops for {stall.stopped_s:g} s in {stall.seconds:g} s",
        subtitle=f"{share:.0%} of the time nobody is answered.",
    )


def stall_plot(stall: Stall) -> Figure:
    """Every request of both loads, at the time at which it was due."""
    frames = [
        pd.DataFrame(
            {
                "at_s": samples.scheduled_s,
                "ms": samples.latency_s * 1e3,
                "kind": f"{name} ({len(samples)} requests)",
            }
        )
        for name, samples in ((OPEN, stall.opened), (CLOSED, stall.closed))
    ]
    begin = (stall.seconds - stall.stopped_s) / 2
    slow = int((stall.closed.latency_s > stall.stopped_s / 2).sum())
    return plots.timeline(
        pd.concat(frames),
        outages=[(begin, begin + stall.stopped_s)],
        title=f"The closed loop meets the stall in {slow} of its requests",
        y_label="latency (ms)",
    )


def accuracy_table(accuracy: Accuracy) -> Table:
    """Known and measured quantiles; the error of single requests below."""
    held_s = np.sort(accuracy.held_s)

    def rank(q: float) -> int:
        return max(int(np.ceil(q * len(held_s) - 1e-9)), 1) - 1

    rows = []
    for q in KNOWN_QUANTILES:
        known, held, measured = accuracy.known_s(q), held_s[rank(q)], accuracy.measured_s(q)
        inside = [isinstance(measured, Interval) and measured.covers(at) for at in (known, held)]
        ms = measured.scaled(1e3) if isinstance(measured, Interval) else measured
        rows.append(
            {
                "quantile": f"p{100 * q:g}",
                "known": known * 1e3,
                "held": held * 1e3,
                **triple("measured", ms),
                "inside": " and ".join(
                    name for name, lies in zip(("drawn", "held"), inside, strict=True) if lies
                )
                or "neither",
            }
        )
    error = np.sort(accuracy.samples.service_s - accuracy.held_s) * 1e3
    middle, most = error[len(error) // 2], error[rank(0.99)]
    return build(
        pd.DataFrame(rows),
        [
            Column("quantile", "quantile"),
            Column("known", "drawn, ms", 1),
            Column("held", "held, ms", 1),
            Column("measured", "measured, ms", 1, interval=True),
            Column("inside", "within the interval"),
        ],
        title=f"{len(error)} requests with known delays",
        subtitle="Drawn: of the distribution. Held: what the server says it took. The measured time"
        f" of single requests is longer than that by {middle:.2f} ms (median) and {most:.2f} ms"
        " (p99): the way there and back.",
    )


def agreement_table(agreement: Agreement | NotRun) -> Table | NotRun:
    """Both, side by side."""
    if isinstance(agreement, NotRun):
        return agreement
    frame = pd.DataFrame(
        [
            {"generator": name, **triple("rps", rps), **triple("ms", ms)}
            for name, rps, ms in (
                ("wrk", agreement.wrk_rps, agreement.wrk_ms),
                ("perflab", agreement.ours_rps, agreement.ours_ms),
            )
        ]
    )
    return build(
        frame,
        [
            Column("generator", "generator"),
            Column("rps", "answers/s", 1, interval=True),
            Column("ms", "mean, ms", 2, interval=True),
        ],
        title="The same endpoint, loaded by wrk and by the lab",
        subtitle=f"{AGREED_CONNECTIONS} connections, {AGREED_US / 1e3:g} ms each,"
        f" {agreement.rounds} rounds in turn.",
    )
