"""Before and after of each part of the API, and the break-even of compression."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from perflab.measure.comparison import Comparison
from perflab.report import plots
from perflab.report.tables import Column, Table, build
from perflab.studies.api.contrasts import Contrast, contrast_frame, everything_frame
from perflab.studies.api.parts import FIRST_VISITS
from perflab.studies.api.threshold import PROMISED
from perflab.studies.cache.compression import NETWORKS, break_even

_REDUCTION = (
    Column("before", "before (ms)", 2, interval=True),
    Column("after", "after (ms)", 2, interval=True),
    Column("reduction", "faster by (%)", 1, interval=True),
    Column("aa", "A/A ratio", 2, interval=True),
)


def parts_table(contrasts: Sequence[Contrast]) -> Table:
    """Each part, left out and in place."""
    return build(
        contrast_frame(contrasts),
        [
            Column("part", "part"),
            Column("request", "request"),
            *_REDUCTION,
            Column("bytes_before", "bytes before", 0),
            Column("bytes_after", "bytes after", 0),
            Column("n", "calls an arm"),
        ],
        title="What each part is worth",
        subtitle="Median latency of one client on a kept connection; average bytes on the wire,"
        " heads included. Below zero the part costs time.",
    )


def parts_plot(contrasts: Sequence[Contrast]) -> Figure:
    """Every request before and after."""
    frame = contrast_frame(contrasts)
    frame["label"] = frame["part"] + ": " + frame["request"]
    best = frame.sort_values("reduction").iloc[-1]
    return plots.before_after(
        frame,
        title=f"Most is gained by {best['part']}: {best['reduction']:.0f} %",
        x="median latency (ms)",
    )


def everything_table(contrast: Contrast) -> Table:
    """Everything off against everything on."""
    return build(
        everything_frame(contrast),
        [Column("request", "request"), *_REDUCTION, Column("n", "calls an arm")],
        title="Everything off against everything on",
        subtitle="Off: no cache, no pool, no compression, no limiter. On: all of them, and"
        f" {FIRST_VISITS:.0%} of the requests are first visits that no cache knows.",
    )


def everything_plot(contrast: Contrast) -> Figure:
    """The same as a plot."""
    frame = everything_frame(contrast).rename(columns={"request": "label"}).dropna(subset="before")
    return plots.before_after(frame, title=_finding(contrast.overall), x="average latency (ms)")


def _finding(overall: Comparison) -> str:
    percent = everything_percent(overall)
    if percent is None:
        return "Everything off and everything on"
    return f"Caching and optimization take {percent:.0f} % off the average response"


def everything_percent(overall: Comparison) -> float | None:
    """By how much the average fell; None where that is not estimable."""
    estimate = getattr(overall.mean, "estimate", None)
    return None if estimate is None else 100 * (1 - estimate)


def threshold_table(threshold: pd.DataFrame) -> Table:
    """Each size and coding."""
    return build(
        threshold,
        [
            Column("bytes", "bytes of the body"),
            Column("method", "coding"),
            Column("packed", "compressed (bytes)"),
            Column("saved_percent", "saved (%)", 0),
            Column("packets_plain", "packets"),
            Column("packets", "packets compressed"),
            Column("us", "costs (µs)", 1, interval=True),
            Column("pays_below_mbit_s", "pays below (Mbit/s)", 0),
        ],
        title="Compressing a page of tasks",
        subtitle="Cost: compressing once; what was compressed is kept. Packets: head and body"
        " together.",
    )


def threshold_plot(threshold: pd.DataFrame) -> Figure:
    """The network below which compressing pays, by size."""
    paying = threshold[threshold["pays_below_mbit_s"] > 0]
    least = threshold[threshold["packets"] < threshold["packets_plain"]]["bytes"]
    saved = f"saves a packet from {least.min():,} bytes on" if len(least) else "saves no packet"
    return plots.curves(
        paying,
        x="bytes",
        y="pays_below_mbit_s",
        hue="method",
        log="xy",
        title=f"Compressing {saved} (threshold: {PROMISED:,})",
        x_label="bytes of the body before compression",
        y_label="pays below (Mbit/s)",
        reference=NETWORKS["1 Gbit/s"] / 1e6,
        reference_label="1 Gbit/s",
    )


def threshold_break_even(threshold: pd.DataFrame) -> Table:
    """From which size on each coding pays."""
    methods = list(threshold["method"].drop_duplicates())
    return build(
        break_even(threshold, methods),
        [
            Column("network", "network"),
            *(Column(name, f"{name} pays from (bytes)") for name in methods),
        ],
        title="The break-even of compressing a response",
        subtitle="For time alone, where the body is compressed for the first time; –: at no"
        " measured size.",
    )
