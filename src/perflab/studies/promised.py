"""The claims that a notebook judges, as a table that changes only with them: nbval compares it."""

from __future__ import annotations

import pandas as pd

from perflab.measure.claims import Claims
from perflab.report.tables import Column, Table, build


def claimed_table(claims: Claims, notebook: str) -> Table:
    """What was promised, and as what each promise is judged."""
    rows = [
        {"claim": c.id, "wording": c.wording, "promise": c.promise}
        for c in claims.of(notebook=notebook)
    ]
    frame = pd.DataFrame(rows, columns=["claim", "wording", "promise"])
    columns = [Column("claim", "claim"), Column("wording", "the plan says")]
    return build(frame, [*columns, Column("promise", "judged as")], title="Promised")
