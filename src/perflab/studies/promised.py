"""The claims that a notebook judges: what was promised, and promised beside measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from perflab.measure.claims import Claims
from perflab.measure.results import Result
from perflab.report import plots
from perflab.report.not_run import NotRun
from perflab.report.tables import Column, Table, build
from perflab.studies.frames import triple

JUDGED = (
    Column("what", "what"),
    Column("promise", "promised"),
    Column("measured", "measured", interval=True),
    Column("unit", "unit"),
    Column("verdict", "verdict"),
    Column("reason", "reason"),
)
"""How promised beside measured is shown."""
_FRAME = [
    *("claim", "what", "promise", "claimed", "measured", "measured_lo", "measured_hi"),
    *("unit", "verdict", "reason"),
]
_NOT_MEASURED: Final = "not measured"
_OPEN: Final = ("cannot tell", "void", _NOT_MEASURED)
"""Words that are no verdict on the promise, in the order in which they are told."""
_LABEL = 30
"""Characters of a plot's label; a claim that is a whole sentence is named by its id."""


def kept(verdicts: Iterable[str], what: str = "hold") -> str:
    """How many of the verdicts are met, and how many say nothing: they are not missed.

    >>> kept(["met", "missed", "void"], "averages hold")
    '1 of 3 averages hold (1 void)'
    """
    counts = Counter(verdicts)
    told = f"{counts['met']} of {counts.total()} {what}"
    open_ = [f"{counts[word]} {word}" for word in _OPEN if counts[word]]
    return f"{told} ({', '.join(open_)})" if open_ else told


def claimed_table(claims: Claims, notebook: str) -> Table:
    """What was promised, and as what each promise is judged.

    It changes only with the claims: nbval compares it.
    """
    rows = [
        {"claim": c.id, "wording": c.wording, "promise": c.promise}
        for c in claims.of(notebook=notebook)
    ]
    frame = pd.DataFrame(rows, columns=["claim", "wording", "promise"])
    columns = [Column("claim", "claim"), Column("wording", "the plan says")]
    return build(frame, [*columns, Column("promise", "judged as")], title="Promised")


def judged_frame(results: Sequence[Result], claims: Claims, ids: Sequence[str]) -> pd.DataFrame:
    """One row a claim of ``ids``, promised beside measured; what was not measured is left open."""
    by_claim = {result.claim: result for result in results if result.claim}
    rows = []
    for claim in map(claims.get, ids):
        result = by_claim.get(claim.id)
        judged = result is not None and result.verdict is not None
        rows.append(
            {
                "claim": claim.id,
                "what": f"{claim.row}, {claim.column.lower()}" if claim.row else claim.wording,
                "promise": claim.promise,
                "claimed": claim.target,
                **(
                    triple("measured", result.value)
                    if result
                    else dict.fromkeys(("measured", "measured_lo", "measured_hi"), float("nan"))
                ),
                "unit": claim.unit,
                "verdict": result.verdict.word if result and result.verdict else _NOT_MEASURED,
                "reason": result.verdict.reason if result and result.verdict and judged else "",
            }
        )
    return pd.DataFrame(rows, columns=_FRAME)


def plan_view(frame: pd.DataFrame, title: str, subtitle: str = "") -> Table | NotRun:
    """A table of the plan, as ``judged_frame`` gives it."""
    if frame.empty:
        return NotRun(title, "the claims file has no such table")
    return build(frame, JUDGED, title=title, subtitle=subtitle)


def verdict_view(frame: pd.DataFrame, about: str) -> Table | NotRun:
    """Every claim of a notebook, as ``judged_frame`` gives it."""
    if frame.empty:
        return NotRun("verdicts", f"no claim about {about} is judged here")
    return build(frame, [Column("claim", "claim"), *JUDGED], title="Every claim judged here")


def promise_plot(frame: pd.DataFrame, what: str, held: str, x_label: str) -> Figure | NotRun:
    """Measured beside promised: rows of ``judged_frame`` with one unit.

    ``what`` names the figures in the title, "hit ratios", and ``held`` says what the promise is,
    "are met"; ``x_label`` has the unit.
    """
    judged = frame.dropna(subset=["measured"]) if len(frame) else frame
    if judged.empty:
        return NotRun(f"{what} promised and measured", f"none of the promised {what} was measured")
    return plots.verdicts(
        pd.DataFrame(
            {
                "label": judged["what"].where(judged["what"].str.len() <= _LABEL, judged["claim"]),
                "estimate": judged["measured"],
                "lo": judged["measured_lo"],
                "hi": judged["measured_hi"],
                "claimed": judged["claimed"],
                "verdict": judged["verdict"],
            }
        ),
        title=kept(judged["verdict"], f"promised {what} {held}"),
        x=x_label,
    )
