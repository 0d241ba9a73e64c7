"""What a comparison of two runs says, on a console and as Markdown for a build's summary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from perflab.measure.claims import figure
from perflab.measure.metrics import METRICS
from perflab.measure.regression import Change, Outcome, RunComparison
from perflab.measure.statistics import Estimate, Interval
from perflab.report.tables import NOT_ESTIMABLE, markdown

_COLOURS: dict[Outcome, str] = {
    "regression": "bold red",
    "vanished": "bold red",
    "improvement": "green",
    "cannot tell": "yellow",
}
_QUIET: frozenset[Outcome] = frozenset({"unchanged", "cannot tell", "shown"})
_ORDER: tuple[Outcome, ...] = (
    "regression",
    "vanished",
    "improvement",
    "cannot tell",
    "unchanged",
    "new",
    "shown",
)

Again = Callable[[Change], Change | None]
"""The same figure where it failed in the rerun as well."""


def print_comparison(
    console: Console,
    compared: RunComparison,
    *,
    every: bool = False,
    again: Again | None = None,
) -> None:
    """Print claims and whatever failed, improved or appeared; with ``every`` all figures."""
    chosen = _ordered(compared) if every else _loud(compared)
    table = Table(header_style="bold", box=box.SIMPLE)
    frame = comparison_frame(chosen, again)
    for heading in frame.columns:
        if heading != "metric":
            table.add_column(
                heading,
                overflow="fold",
                no_wrap=heading == "figure",
                min_width=11 if heading == "outcome" else None,
            )
    for change, row in zip(chosen, frame.to_dict("records"), strict=True):
        named = Text.assemble(row.pop("figure"), "\n", (row.pop("metric"), "dim"))
        cells = {key: Text(cell) for key, cell in row.items()}
        cells["outcome"].stylize(_COLOURS.get(change.outcome, ""))
        table.add_row(named, *cells.values())
    console.print(table)
    for sentence in sentences(compared):
        console.print(Text(sentence), soft_wrap=True)


def comparison_markdown(
    heading: str,
    compared: RunComparison,
    remarks: Iterable[str],
    *,
    again: Again | None = None,
) -> str:
    """A page for a build's summary: the outcome, what failed, then every figure folded away."""
    ordered, loud = _ordered(compared), _loud(compared)
    lines = [f"## {heading}\n\n"]
    lines.extend(f"- {sentence}\n" for sentence in (*sentences(compared), *remarks))
    if loud:
        lines.append("\n" + markdown(comparison_frame(loud, again)))
    lines.append(
        f"\n<details><summary>All {len(ordered)} figures</summary>\n\n"
        + markdown(comparison_frame(ordered, again))
        + "\n</details>\n"
    )
    return "".join(lines)


def comparison_frame(changes: Iterable[Change], again: Again | None = None) -> pd.DataFrame:
    """One row a change, every cell as it is shown."""
    columns = ["figure", "metric", "base", "run", "change [interval]", "outcome"]
    rows = []
    for change in changes:
        row = [
            change.name,
            _metric(change),
            _value(change.base, change.unit),
            _value(change.run, change.unit),
            _percent(change.change),
            _outcome(change),
        ]
        if again is not None:
            row.append(_again(again(change)) if change.fails else "")
        rows.append(row)
    return pd.DataFrame(rows, columns=columns if again is None else [*columns, "rerun"])


def sentences(compared: RunComparison) -> tuple[str, ...]:
    """What was compared, how finely, and what was not."""
    judged, tolerances = compared.judged, compared.tolerances
    said = [
        f"{len(judged)} figures judged: "
        + ", ".join(f"{n} {outcome}" for outcome, n in _counts(compared).items())
        + ".",
        f"Tolerated: {tolerances.ratio:g} % of after/before, {tolerances.value:g} % of counts, "
        "sizes and hit ratios"
        + (
            "; times and rates are shown and do not fail."
            if tolerances.absolute is None
            else f", {tolerances.absolute:g} % of times and rates."
        )
        + " All intervals together hold with 95 %.",
    ]
    if any(c.basis == "ratio" and METRICS[c.metric].kind == "reduction" for c in judged):
        said.append(
            "The change of a reduction is that of the time left, after/before: "
            "from 96 % to 92 % it is +100 %."
        )
    findable = sorted(c.findable_percent for c in judged if c.findable_percent is not None)
    if findable:
        said.append(
            f"These runs would show a worsening of {findable[len(findable) // 2]:,.0f} % in half "
            f"of the figures, of {findable[-1]:,.0f} % in the coarsest."
        )
    if compared.not_compared:
        said.append(f"Not in the run, so not compared: {', '.join(compared.not_compared)}.")
    return tuple(said)


def _counts(compared: RunComparison) -> dict[str, int]:
    found = {o: sum(c.outcome == o for c in compared.changes) for o in _ORDER if o != "shown"}
    return {outcome: n for outcome, n in found.items() if n or outcome == "regression"}


def _ordered(compared: RunComparison) -> list[Change]:
    return sorted(compared.changes, key=lambda c: (_ORDER.index(c.outcome), c.claim is None))


def _loud(compared: RunComparison) -> list[Change]:
    """Judged claims, and whatever else is news."""
    return [
        c
        for c in _ordered(compared)
        if c.outcome not in _QUIET
        or (c.claim and c.outcome != "shown")
        or c.base_verdict != c.run_verdict
    ]


def _metric(change: Change) -> str:
    metric = METRICS[change.metric]
    if change.basis == "absolute" and metric.kind in ("reduction", "ratio"):
        return f"{metric.statistic} after"
    words = {"reduction": f"{metric.statistic} reduction", "absolute": metric.statistic}
    return words.get(metric.kind, metric.name.removesuffix("_bytes").replace("_", " "))


def _value(estimate: Estimate | None, unit: str) -> str:
    if estimate is None:
        return "–"
    if not isinstance(estimate, Interval):
        return NOT_ESTIMABLE
    return f"{figure(estimate.estimate)} {'' if unit == 'ratio' else unit}".rstrip()


def _percent(change: Estimate | None) -> str:
    if change is None:
        return "–"
    if not isinstance(change, Interval):
        return NOT_ESTIMABLE
    centre, low, high = (_signed(v) for v in (change.estimate, change.lo, change.hi))
    return f"{centre} %" if change.lo == change.hi else f"{centre} % [{low}, {high}]"


def _signed(value: float) -> str:
    if math.isinf(value):
        return "+∞"
    if value == 0:
        return "0"
    return f"{value:+,.0f}" if abs(value) >= 10 else f"{value:+.1f}"


def _outcome(change: Change) -> str:
    words: list[str] = [change.outcome]
    if change.base_verdict != change.run_verdict:
        words.append(f"{change.base_verdict or '–'} → {change.run_verdict or '–'}")
    if change.reason:
        words.append(change.reason)
    return "; ".join(words)


def _again(found: Change | None) -> str:
    if found is None:
        return "not seen again"
    return f"confirmed: {_percent(found.change) if found.change else found.outcome}"
