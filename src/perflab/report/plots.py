"""Plots of results: intervals are always drawn, units are always named.

Every function takes a tidy frame and returns a figure; none of them computes a statistic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from perflab.report.style import NEUTRAL, PALETTE, SERIES, VERDICT, finish, new_figure

MOST_TICKS = 9
"""More values than these would run into each other as labels of an axis."""


def before_after(frame: pd.DataFrame, *, title: str, x: str = "mean latency (ms)") -> Figure:
    """One row a label, both arms as points with intervals on a logarithmic axis.

    Columns: label, and for each arm ``before``, ``before_lo``, ``before_hi``, ``after``, ...
    """
    figure, axes = new_figure(height=1.3 + 0.3 * len(frame))
    y = np.arange(len(frame))[::-1]
    axes.hlines(y, frame["after"], frame["before"], color="#dddddd", linewidth=2, zorder=1)
    for arm in ("before", "after"):
        _points(axes, frame[arm], y, frame[f"{arm}_lo"], frame[f"{arm}_hi"], PALETTE[arm], arm)
    axes.set_yticks(y, list(frame["label"]))
    axes.set_ylim(-0.6, len(frame) - 0.4)
    _log(axes, "x")
    figure.legend(loc="outside lower center", ncols=2)
    return finish(axes, title=title, x=x, y="")


def verdicts(frame: pd.DataFrame, *, title: str, x: str) -> Figure:
    """Measured value with its interval beside the claimed one, coloured by verdict.

    Columns: label, estimate, lo, hi, claimed, verdict.
    """
    _figure, axes = new_figure(height=1.3 + 0.45 * len(frame))
    y = np.arange(len(frame))[::-1]
    for verdict, colour in VERDICT.items():
        rows = (frame["verdict"] == verdict).to_numpy()
        if rows.any():
            part = frame[rows]
            _points(axes, part["estimate"], y[rows], part["lo"], part["hi"], colour, verdict)
    axes.scatter(frame["claimed"], y, marker="|", s=420, color="black", zorder=2, label="claimed")
    axes.set_yticks(y, list(frame["label"]))
    axes.set_ylim(-0.6, len(frame) - 0.4)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return finish(axes, title=title, x=x, y="")


def ranges(
    frame: pd.DataFrame, *, label: str, value: str, hue: str, title: str, x_label: str
) -> Figure:
    """One row a label, one point with its interval a hue, on a logarithmic axis.

    Rows come in the frame's order; ``{value}_lo`` and ``{value}_hi`` are the intervals.
    """
    labels = list(frame[label].drop_duplicates())
    _figure, axes = new_figure(height=1.2 + 0.45 * len(labels))
    y = {name: float(len(labels) - 1 - number) for number, name in enumerate(labels)}
    for number, (name, part) in enumerate(frame.groupby(hue, sort=False)):
        at = part[label].map(y) - 0.16 * number  # beside each other where they are close
        lo, hi = part[f"{value}_lo"], part[f"{value}_hi"]
        _points(axes, part[value], at, lo, hi, SERIES[number % len(SERIES)], str(name))
    axes.set_yticks(list(y.values()), labels)
    _log(axes, "x")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return finish(axes, title=title, x=x_label, y="")


def curves(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    hue: str,
    title: str,
    x_label: str,
    y_label: str,
    log: str = "",
    reference: float | None = None,
    reference_label: str = "",
    predicted: Mapping[str, str] | None = None,
) -> Figure:
    """Lines with points, intervals where ``{y}_lo`` exists; ``log`` is "x", "y" or "xy".

    ``predicted`` names the series that are formulas, and the measured ones that they predict:
    these are drawn dashed, without points and in the same colour.
    """
    _figure, axes = new_figure()
    formulas = predicted or {}
    measured = [str(name) for name in frame[hue].drop_duplicates() if str(name) not in formulas]
    colours = {n: PALETTE.get(n, SERIES[i % len(SERIES)]) for i, n in enumerate(measured)}
    for name, part in frame.groupby(hue, sort=False):
        colour = colours.get(formulas.get(str(name), str(name)), NEUTRAL)
        part = part.sort_values(x)
        line, marker = ("--", "") if str(name) in formulas else ("-", "o")
        axes.plot(part[x], part[y], color=colour, label=str(name), linestyle=line, marker=marker)
        if f"{y}_lo" in part:
            axes.fill_between(
                part[x].to_numpy(float),
                part[f"{y}_lo"].to_numpy(float),
                part[f"{y}_hi"].to_numpy(float),
                color=colour,
                alpha=0.18,
                linewidth=0,
            )
    for axis in log:
        _log(axes, axis)
    measured_at = sorted(frame[x].unique())
    if "x" in log and len(measured_at) <= MOST_TICKS:
        axes.set_xticks(measured_at)
        axes.xaxis.set_minor_formatter(NullFormatter())
    if reference is not None:
        axes.axhline(reference, color="black", linewidth=1, linestyle="--")
        axes.annotate(
            reference_label,
            (1.0, reference),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=9,
        )
    if axes.get_legend_handles_labels()[0]:  # none where there is nothing to draw
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return finish(axes, title=title, x=x_label, y=y_label)


def bars(frame: pd.DataFrame, *, label: str, value: str, title: str, x_label: str) -> Figure:
    """Horizontal bars, the largest on top; intervals where ``{value}_lo`` exists."""
    _figure, axes = new_figure(height=0.8 + 0.24 * len(frame))
    part = frame.sort_values(value)
    errors = None
    if f"{value}_lo" in part:
        errors = np.abs(
            np.vstack([part[value] - part[f"{value}_lo"], part[f"{value}_hi"] - part[value]])
        )
    axes.barh(part[label], part[value], xerr=errors, color=PALETTE["after"], ecolor="#333333")
    axes.grid(visible=False, axis="y")
    return finish(axes, title=title, x=x_label, y="")


def stacked(
    frame: pd.DataFrame,
    *,
    label: str,
    title: str,
    x_label: str,
    colours: Mapping[str, str] = VERDICT,
) -> Figure:
    """Horizontal stacked bars; every column but ``label`` is a part, a verdict's count if need be.

    A part that has no colour is grey.
    """
    _figure, axes = new_figure(height=1.2 + 0.4 * len(frame))
    y = np.arange(len(frame))[::-1]
    start = np.zeros(len(frame))
    for verdict in frame.columns.drop(label):
        counts = frame[verdict].to_numpy(float)
        colour = colours.get(str(verdict), "#dddddd")
        axes.barh(y, counts, left=start, color=colour, label=str(verdict))
        start += counts
    axes.set_yticks(y, list(frame[label]))
    axes.grid(visible=False, axis="y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return finish(axes, title=title, x=x_label, y="")


def steps(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    hue: str,
    title: str,
    x_label: str,
    y_label: str,
    reference: float,
    reference_label: str,
    outages: Sequence[tuple[float, float]] = (),
) -> Figure:
    """What holds until it changes, one line a hue, against a reference; outages are shaded.

    Lines are drawn ever thinner, so that one is seen where another lies on it.
    """
    _figure, axes = new_figure()
    for start, end in outages:
        axes.axvspan(start, end, color="#f3d9c9", zorder=0, label="server down")
    for number, (name, part) in enumerate(frame.groupby(hue, sort=False)):
        axes.step(
            part[x],
            part[y],
            where="post",
            color=SERIES[number % len(SERIES)],
            linewidth=max(1.2, 4.0 - 0.9 * number),
            label=str(name),
        )
    axes.axhline(reference, color="black", linewidth=1, linestyle="--", label=reference_label)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return finish(axes, title=title, x=x_label, y=y_label)


def timeline(
    frame: pd.DataFrame, *, outages: Sequence[tuple[float, float]], title: str, y_label: str
) -> Figure:
    """Calls over time with outages shaded. Columns: at_s, ms, kind."""
    _figure, axes = new_figure(height=3.4)
    for start, end in outages:
        axes.axvspan(start, end, color="#f3d9c9", zorder=0, label="server down")
    for number, (kind, part) in enumerate(frame.groupby("kind", sort=False)):
        axes.scatter(
            part["at_s"], part["ms"], s=9, color=SERIES[number % len(SERIES)], label=str(kind)
        )
    _log(axes, "y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=2)
    return finish(axes, title=title, x="seconds since the start", y=y_label)


def _points(
    axes: Axes, values: object, y: object, lo: object, hi: object, colour: str, label: str
) -> None:
    estimate = np.asarray(values, dtype=float)
    errors = np.vstack([estimate - np.asarray(lo, float), np.asarray(hi, float) - estimate])
    axes.errorbar(
        estimate,
        np.asarray(y, dtype=float),
        xerr=np.clip(np.nan_to_num(errors), 0, None),
        fmt="o",
        color=colour,
        ecolor=colour,
        elinewidth=2.2,
        capsize=0,
        markersize=6,
        label=label,
        zorder=3,
    )


def _log(axes: Axes, which: str) -> None:
    if which == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    axis: Axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    few = high < 100 * low  # one or two powers of ten would not tell where a point lies
    subs = (1.0, 2.0, 5.0) if few else (1.0,)
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="minor", axis="x" if which == "x" else "y", color="#f3f3f3")


def _plain(value: float, _position: int | None = None) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
