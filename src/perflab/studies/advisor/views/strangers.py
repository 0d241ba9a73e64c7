"""What the advisor makes of schemas that it was not written for."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from perflab.report.tables import Column, Table, build
from perflab.studies.advisor.strangers import LEAST_REDUCTION_PERCENT, Met
from perflab.studies.advisor.views.words import word
from perflab.studies.frames import triple


def strangers_table(met: Sequence[Met]) -> Table:
    """One row a schema, by the study's own bar."""
    frame = pd.DataFrame([_row(one) for one in met])
    return build(
        frame,
        [
            Column("schema", "schema"),
            Column("statements", "statements"),
            Column("candidates", "candidates"),
            Column("indexes", "indexes proved"),
            Column("reduction", "less time (%)", 1, interval=True),
            Column("bar", "bar"),
            Column("verdict", "verdict"),
        ],
        title="Schemas that the advisor was not written for",
        subtitle="All statements of a schema together, each called as often as the others.",
    )


def _row(one: Met) -> dict[str, object]:
    if one.needs_something:
        bar = f"at least {LEAST_REDUCTION_PERCENT:.0f} %"
        verdict = word(one.reduction_percent, LEAST_REDUCTION_PERCENT, at_least=True)
    else:
        bar, verdict = "no index", "missed" if one.ddl else "met"
    return {
        "schema": one.name.replace("_", " "),
        "statements": one.statements,
        "candidates": one.candidates,
        "indexes": len(one.ddl),
        **triple("reduction", one.reduction_percent),
        "bar": bar,
        "verdict": verdict,
    }
