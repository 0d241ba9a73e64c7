"""A scenario's figures as tables and plots."""

from __future__ import annotations

import msgspec
import pandas as pd
from matplotlib.figure import Figure

from perflab.load.scenarios import Figures, RunSummary, Summary
from perflab.measure.statistics import min_samples
from perflab.report import plots
from perflab.report.tables import Column, Table, build

TIMES = ("mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms")


def times_frame(summary: Summary) -> pd.DataFrame:
    """Two rows for the whole and for each step: latency and service time."""
    rows = []
    parts = [("all", summary.total), *((step.name, step.figures) for step in summary.steps)]
    if len(summary.steps) == 1:
        parts = parts[:1]
    for name, figures in parts:
        for of in ("latency", "service"):
            times = msgspec.structs.asdict(getattr(figures, of))
            rows.append({"request": name, "time": of, "good": figures.good, **times})
    return pd.DataFrame(rows)


def times_table(summary: Summary) -> Table:
    """Latency from the schedule and service time, side by side."""
    frame = times_frame(summary)
    needed = min_samples(0.99)
    thin = summary.total.good < needed
    return build(
        frame,
        [
            Column("request", "request"),
            Column("time", "time"),
            *(Column(name, name.removesuffix("_ms"), 1) for name in TIMES),
        ],
        title="Times of good answers, in ms",
        subtitle="Latency counts from the scheduled start, service time from the actual one."
        + (
            f" p99 rests on the slowest {summary.total.good // 100 + 1} of {summary.total.good}"
            f" answers; an interval for it needs {needed}."
            if thin
            else ""
        ),
    )


def counts_frame(summary: Summary) -> pd.DataFrame:
    """One row for the whole and for each step."""
    parts = [("all", summary.total), *((step.name, step.figures) for step in summary.steps)]
    if len(summary.steps) == 1:
        parts = parts[:1]
    return pd.DataFrame([{"request": name, **counts_of(figures)} for name, figures in parts])


def counts_of(figures: Figures) -> dict[str, object]:
    """What was counted, in the columns of ``counts_table``."""
    return {
        "requests": figures.requests,
        "good": figures.good,
        "throughput_per_s": figures.throughput_per_s,
        "error_percent": 100 * figures.error_rate,
        "errors": ", ".join(f"{count} {kind}" for kind, count in figures.errors.items()) or "none",
        "refused_percent": 100 * figures.refused_share,
        "peak_concurrency": figures.peak_concurrency,
    }


def counts_table(summary: Summary) -> Table:
    """Requests, throughput, errors, refusals and concurrency."""
    return build(
        counts_frame(summary),
        [
            Column("request", "request"),
            Column("requests", "sent"),
            Column("good", "good"),
            Column("throughput_per_s", "good/s", 1),
            Column("error_percent", "errors %", 2),
            Column("errors", "by kind"),
            Column("refused_percent", "refused %", 1),
            Column("peak_concurrency", "at once"),
        ],
        title="Requests",
        subtitle="Refused: by a policy, e.g. status 429; neither an error nor throughput.",
    )


def thresholds_table(summary: RunSummary) -> Table:
    """What was demanded, and what came out."""
    frame = pd.DataFrame(
        [
            {
                "condition": threshold.condition,
                "value": threshold.value,
                "verdict": "met" if threshold.holds else "missed",
            }
            for threshold in summary.thresholds
        ],
        columns=["condition", "value", "verdict"],
    )
    columns = [Column("condition", "demanded"), Column("value", "measured")]
    return build(frame, [*columns, Column("verdict", "verdict")], title="Thresholds")


def seconds_frame(summary: Summary) -> pd.DataFrame:
    """One row a second of the run."""
    return pd.DataFrame([msgspec.structs.asdict(second) for second in summary.over_time])


def times_plot(summary: Summary) -> Figure:
    """The 95th percentiles of every second."""
    frame = seconds_frame(summary).melt(
        id_vars="at_s", value_vars=["p95_ms", "service_p95_ms"], var_name="time"
    )
    frame["time"] = frame["time"].map({"p95_ms": "latency", "service_p95_ms": "service time"})
    return plots.curves(
        frame,
        x="at_s",
        y="value",
        hue="time",
        title="95th percentile of every second",
        x_label="seconds since the start",
        y_label="ms",
    )


def rates_plot(summary: Summary) -> Figure:
    """What was due, answered well, refused and failed in every second."""
    names = {"due": "due", "answered_well": "good answers", "refused": "refused"}
    names |= {"errors": "errors"}
    frame = seconds_frame(summary).melt(id_vars="at_s", value_vars=list(names), var_name="what")
    frame["what"] = frame["what"].map(names)
    return plots.curves(
        frame,
        x="at_s",
        y="value",
        hue="what",
        title="Requests of every second",
        x_label="seconds since the start",
        y_label="requests/s",
    )
