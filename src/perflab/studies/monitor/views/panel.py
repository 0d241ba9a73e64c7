"""A panel for a notebook that changes while something runs, and stays as it was at the end.

It is an HTML output under one display id: JupyterLab shows every update, papermill and nbconvert
keep the last one, and outside a kernel nothing is shown.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from perflab.monitor.alerts import AlertEngine
from perflab.progress import in_kernel
from perflab.report.style import SERIES
from perflab.studies.monitor.figures import History, Point

_WIDTH: Final = 260
_HEIGHT: Final = 28
_CHIPS: Final = {"pending": ("#fff3d6", "#6b5200"), "firing": ("#d55e00", "#ffffff")}


class Panel:
    """Figures with their recent past, and the alerts that are pending or firing.

    Args:
        history: the figures.
        engine: whose alerts are shown.
    """

    def __init__(self, history: History, engine: AlertEngine) -> None:
        self._history = history
        self._engine = engine
        self._handle: Any = None

    def show(self) -> None:
        """Show the panel, or bring what is shown up to date; from the cell's own thread."""
        if not in_kernel():
            return
        if self._handle is None:
            display = importlib.import_module("IPython.display").display  # ships no types
            self._handle = display(self, display_id=True)
        else:
            self._handle.update(self)

    def __repr__(self) -> str:
        lines = [
            f"{figure.title}: {_text(points)} {figure.unit}".rstrip()
            for figure, points in self._history.rows()
        ]
        alerts = ", ".join(f"{one.rule.name} {one.state}" for one in self._engine.alerts)
        return "\n".join([*lines, f"alerts: {alerts or 'none'}"])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(figure.title)}</td>"
            f'<td style="text-align:right;padding:0 1em">{_text(points)}'
            f" {escape(figure.unit)}</td><td>{_sparkline(points)}</td></tr>"
            for figure, points in self._history.rows()
        )
        chips = "".join(
            f'<span style="background:{_CHIPS[one.state][0]};color:{_CHIPS[one.state][1]};'
            'padding:1px 8px;border-radius:8px;margin-right:6px">'
            f"{escape(one.rule.name)} {one.state}</span>"
            for one in self._engine.alerts
        )
        return (
            f'<table style="border-collapse:collapse">{rows}</table>'
            f"<div>alerts: {chips or 'none'}</div>"
        )


def _text(points: Sequence[Point]) -> str:
    value = points[-1].value if points else math.nan
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def _sparkline(points: Sequence[Point]) -> str:
    """The values from the first moment to the last, gaps left open."""
    known = [point.value for point in points if not math.isnan(point.value)]
    lines: list[list[str]] = []
    line: list[str] = []
    if len(known) > 1:
        begin, span = points[0].at_s, max(points[-1].at_s - points[0].at_s, 1e-9)
        top = max(max(known), 1e-9)
        for point in points:
            if math.isnan(point.value):
                lines.append(line)
                line = []
                continue
            x = 2 + (_WIDTH - 4) * (point.at_s - begin) / span
            y = 2 + (_HEIGHT - 4) * (1 - point.value / top)
            line.append(f"{x:.1f},{y:.1f}")
        lines.append(line)
    drawn = "".join(
        f'<polyline points="{" ".join(one)}" fill="none" stroke="{SERIES[0]}"/>'
        for one in lines
        if one
    )
    return f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img">{drawn}</svg>'
