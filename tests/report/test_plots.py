"""Plots carry title, units and legend, and survive what cannot be estimated."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from matplotlib.figure import Figure

from perflab.report import plots

NAN = float("nan")


def arms(values: list[float]) -> pd.DataFrame:
    columns = {f"{arm}{end}": values for arm in ("before", "after") for end in ("", "_lo", "_hi")}
    return pd.DataFrame({"label": ["a", "b"], **columns})


def curve(values: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"x": [1, 10], "y": values, "y_lo": values, "y_hi": values, "arm": "after"})


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, NAN]])
def test_every_plot_draws_and_names_its_axes(values: list[float]) -> None:
    verdicts = pd.DataFrame(
        {
            "label": ["a", "b"],
            "estimate": values,
            "lo": values,
            "hi": values,
            "claimed": [1.0, 1.0],
            "verdict": ["met", "cannot tell"],
        }
    )
    points = pd.DataFrame({"at_s": [0.1, 0.2], "ms": values, "kind": ["read", "write"]})
    figures = [
        plots.before_after(arms(values), title="T"),
        plots.verdicts(verdicts, title="T", x="percent"),
        plots.curves(
            curve(values),
            x="x",
            y="y",
            hue="arm",
            title="T",
            x_label="rows",
            y_label="ms",
            log="xy",
        ),
        plots.bars(verdicts, label="label", value="estimate", title="T", x_label="times"),
        plots.timeline(points, outages=[(0.12, 0.15)], title="T", y_label="ms"),
        plots.stacked(
            pd.DataFrame({"area": ["a"], "met": [3], "not measured yet": [1]}),
            label="area",
            title="T",
            x_label="claims",
        ),
    ]
    for figure in figures:
        assert isinstance(figure, Figure)
        axes = figure.axes[0]
        assert axes.get_title(loc="left") == "T"
        assert axes.get_xlabel()
        file = io.BytesIO()
        figure.savefig(file)
        assert file.tell() > 1_000


@pytest.mark.parametrize("count", [plots.MOST_TICKS, plots.MOST_TICKS + 1])
def test_a_logarithmic_axis_names_the_measured_values_while_their_labels_fit(count: int) -> None:
    measured = [float(7 + number) for number in range(count)]
    frame = pd.DataFrame({"x": measured, "y": measured, "arm": "after"})
    figure = plots.curves(
        frame, x="x", y="y", hue="arm", title="T", x_label="rows", y_label="ms", log="x"
    )
    ticks = figure.axes[0].get_xticks().tolist()
    assert (ticks == measured) == (count == plots.MOST_TICKS)
