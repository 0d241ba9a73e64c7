"""The claims that a notebook judges: what was promised, and promised beside measured."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from perflab.measure.claims import Claims
from perflab.measure.results import Result
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
                "verdict": result.verdict.word if result and result.verdict else "not measured",
                "reason": result.verdict.reason if result and result.verdict and judged else "",
            }
        )
    return pd.DataFrame(rows)
