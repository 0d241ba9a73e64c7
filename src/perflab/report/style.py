"""One look for every plot: palette, fonts, and the same colour for the same arm everywhere."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

BEFORE = "#d55e00"
AFTER = "#0072b2"
NEUTRAL = "#6b6b6b"
PALETTE = {"before": BEFORE, "after": AFTER, "offset": BEFORE, "keyset": AFTER}
VERDICT = {"met": "#009e73", "missed": "#d55e00", "cannot tell": "#8c6d1f", "void": "#6b6b6b"}
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Okabe and Ito's colour-blind-safe palette."""


def new_figure(width: float = 8.0, height: float = 4.0) -> tuple[Figure, Axes]:
    """A figure with one axes in the lab's style; sizes in inches."""
    import seaborn as sns  # here: who needs only colours should not wait for scipy.stats

    sns.set_theme(style="whitegrid", rc=_RC)
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def finish(axes: Axes, *, title: str, x: str, y: str) -> Figure:
    """Set the title (the finding) and the axis labels (with units); returns the figure."""
    import seaborn as sns

    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=12)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    sns.despine(ax=axes, left=True, bottom=True)
    figure = axes.figure
    assert isinstance(figure, Figure)  # noqa: S101 - narrows SubFigure away for the type checker
    return figure


def title_of(figure: Figure) -> str:
    """What a figure says of itself, for those who cannot see it: its axes' titles."""
    titles = (axes.get_title(loc="left") or axes.get_title() for axes in figure.axes)
    return "; ".join(title for title in titles if title)


_RC = {
    "axes.edgecolor": "#cccccc",
    "axes.labelcolor": "#333333",
    "axes.titlecolor": "#111111",
    "grid.color": "#e6e6e6",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "font.size": 10,
    "legend.frameon": False,
}
