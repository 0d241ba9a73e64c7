"""Latencies as tables and plots: each tier's, with and without a cache, compression, warming."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from perflab.measure.comparison import Comparison
from perflab.report import plots
from perflab.report.tables import Column, Table, build
from perflab.studies.cache.compression import NETWORKS, break_even
from perflab.studies.cache.latency import Latencies
from perflab.studies.cache.warmth import Warmth
from perflab.studies.frames import comparison_frame

_MS = tuple(
    Column(name, f"{name} (ms)", 3, interval=True) for name in ("mean", "median", "p95", "p99")
)


def latency_table(latencies: Latencies) -> Table:
    """Each place where a request may find its value."""
    mix = latencies.mix
    return build(
        latencies.frame(),
        [Column("where", "value found in"), *_MS, Column("n", "calls")],
        title=f"{len(latencies.queries)} of the slowest queries, with and without a cache",
        subtitle=f"All tiers: {100 * mix.memory:.0f} % of the requests find memory,"
        f" {100 * mix.redis:.0f} % Redis, the others load.",
    )


def latency_plot(latencies: Latencies) -> Figure:
    """Mean and p95 of each place."""
    frame = latencies.frame()
    means = frame.set_index("where")["mean"]
    series = [
        frame[["where"]].assign(
            kind=name, ms=frame[name], ms_lo=frame[f"{name}_lo"], ms_hi=frame[f"{name}_hi"]
        )
        for name in ("mean", "p95")
    ]
    return plots.ranges(
        pd.concat(series, ignore_index=True).dropna(subset=["ms"]),
        label="where",
        value="ms",
        hue="kind",
        title=f"All tiers: {means['all tiers']:.2g} ms instead of {means['no cache']:.2g} ms;"
        f" memory alone {1_000 * means.get('memory', float('nan')):.0f} µs",
        x_label="latency (ms)",
    )


def improvement_table(comparisons: Mapping[str, Comparison]) -> Table:
    """What was made faster by how much."""
    return build(
        comparison_frame(comparisons, "what"),
        [
            Column("what", "what"),
            Column("before", "before (ms)", 2, interval=True),
            Column("after", "after (ms)", 2, interval=True),
            Column("reduction", "faster by (%)", 1, interval=True),
            Column("aa", "A/A ratio", 2, interval=True),
            Column("n", "calls an arm"),
        ],
        title="Cache, and indexes together with a cache",
        subtitle="Means. Equal requests in both arms, spread over the tiers as measured above.",
    )


def compression_plot(compression: pd.DataFrame) -> Figure:
    """The network below which compressing pays, by size of the entry."""
    paying = compression[compression["pays_below_mbit_s"] > 0]
    return plots.curves(
        paying,
        x="bytes",
        y="pays_below_mbit_s",
        hue="method",
        log="xy",
        title="zstd pays on faster networks than gzip; neither pays for small entries"
        if _zstd_leads(paying)
        else "From which network on compressing an entry pays",
        x_label="bytes of the entry before compression",
        y_label="pays below (Mbit/s)",
        reference=NETWORKS["1 Gbit/s"] / 1e6,
        reference_label="1 Gbit/s",
    )


def _zstd_leads(paying: pd.DataFrame) -> bool:
    wide = paying.pivot_table(index="bytes", columns="method", values="pays_below_mbit_s").dropna()
    return len(wide) > 0 and bool((wide["zstd"] > wide["gzip"]).all())


def compression_table(compression: pd.DataFrame) -> Table:
    """Each size and method."""
    return build(
        compression,
        [
            Column("bytes", "bytes of the entry"),
            Column("method", "method"),
            Column("packed", "compressed"),
            Column("saved_percent", "saved (%)", 0),
            Column("us", "costs (µs)", 1, interval=True),
            Column("pays_below_mbit_s", "pays below (Mbit/s)", 0),
        ],
        title="Compressing entries made of the database's rows",
        subtitle="Cost: compressing and decompressing once, beyond what the plain entry takes.",
    )


def break_even_table(compression: pd.DataFrame) -> Table:
    """From which size on each method pays."""
    return build(
        break_even(compression),
        [
            Column("network", "network"),
            Column("zstd", "zstd pays from (bytes)"),
            Column("gzip", "gzip pays from (bytes)"),
        ],
        title="The break-even of compression",
        subtitle="For time alone; –: at no measured size. Memory on the server is saved anyway.",
    )


def warmth_plot(warmth: Warmth) -> Figure:
    """Hits over the first minute."""
    cold, warm = (warmth.frame().query("start == @start")["percent"] for start in ("cold", "warm"))
    return plots.curves(
        warmth.frame(),
        x="second",
        y="percent",
        hue="start",
        title=f"The first ten seconds: {warm.iloc[0]:.0f} % hits after warming,"
        f" {cold.iloc[0]:.0f} % without",
        x_label="seconds after the start (scaled)",
        y_label="hits (% of requests)",
    )


def warmth_table(warmth: Warmth) -> Table:
    """The whole first minute."""
    frame = pd.DataFrame([warmth.row(start) for start in warmth.hits])
    report = warmth.reports[-1] if warmth.reports else None
    told = (
        f" Warming loaded the data of {report.loaded:,} users in {report.seconds:.2f} s."
        if report
        else ""
    )
    return build(
        frame,
        [
            Column("start", "start"),
            Column("percent", "hits in the first minute (%)", 1, interval=True),
            Column("minutes", "minutes lived"),
        ],
        title="The first minute, cold and warm",
        subtitle=f"Time scaled by {warmth.factor:.0f}; in the worst minute"
        f" {100 * warmth.late_share:.0f} % of the requests were sent late.{told}",
    )
