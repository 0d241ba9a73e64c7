"""Every claim on one page: measured or not yet, verdict, and the run and notebook behind it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from perflab.measure.claims import Claim, Claims
from perflab.measure.results import Newest, Result, newest_per_claim, read_results
from perflab.paths import runs_dir
from perflab.report import plots
from perflab.report.tables import Column, Table, build, interval_text
from perflab.runs import NEWEST, find_run
from perflab.studies.frames import triple

NOT_YET = "not measured yet"
DEFAULT_RUN_VARIABLE = "PERFLAB_RUN"
"""Names the run that ``newest`` means; nbval sets it, so that its outputs do not change."""


def find_results(
    run: str, environment_id: str, profile: str, current: Path | None = None
) -> Newest:
    """The results to show: the newest of each claim, or those of the run named.

    ``newest`` looks at all runs of this machine and profile, and at ``current``, the run in
    progress, wherever it lies. A ParameterError names a run that does not exist.
    """
    run = os.environ.get(DEFAULT_RUN_VARIABLE, run) if run == NEWEST else run
    if run == NEWEST:
        everywhere = [runs_dir(), *([current.parent] if current else [])]
        found: dict[str, Result] = {}
        skipped: list[str] = []
        for folder in dict.fromkeys(path.resolve() for path in everywhere):
            newest = newest_per_claim(folder, environment_id, profile)
            skipped.extend(newest.skipped)
            for claim, result in newest.by_claim.items():
                if claim not in found or found[claim].recorded_at <= result.recorded_at:
                    found[claim] = result
        return Newest(found, tuple(skipped))
    named = find_run(run)
    results = [r for p in named.files("results", "json") for r in read_results(p)]
    return Newest({r.claim: r for r in results if r.claim}, ())


def scorecard(claims: Claims, by_claim: Mapping[str, Result]) -> pd.DataFrame:
    """One row a claim, in the plan's order."""
    return pd.DataFrame([_row(claim, by_claim.get(claim.id)) for claim in claims])


def _row(claim: Claim, result: Result | None) -> dict[str, object]:
    found: dict[str, object] = {
        "area": claim.area,
        "claim": claim.id,
        "table": claim.table,
        "row": claim.row,
        "column": claim.column,
        "wording": claim.wording,
        "promise": claim.promise,
        "claimed_before": claim.before,
    }
    if result is None or result.verdict is None:
        return {
            **found,
            **dict.fromkeys(("measured", "measured_lo", "measured_hi"), float("nan")),
            "shown": "–",
            "unit": claim.unit,
            "verdict": NOT_YET,
            "reason": "",
            "notebook": claim.notebook,
            "run": "",
        }
    measured = triple("measured", result.value)
    return {
        **found,
        **measured,
        "shown": interval_text(
            measured["measured"], measured["measured_lo"], measured["measured_hi"]
        ),
        "unit": result.unit,
        "verdict": result.verdict.word,
        "reason": result.verdict.reason,
        "notebook": result.origin.notebook,
        "run": result.origin.run_id,
    }


def summary(card: pd.DataFrame) -> pd.DataFrame:
    """How many claims of each area have which verdict."""
    words = ("met", "missed", "cannot tell", "void", NOT_YET)
    counts = pd.crosstab(card["area"], card["verdict"]).reindex(columns=list(words), fill_value=0)
    ordered = counts.reindex(list(dict.fromkeys(card["area"])))
    return ordered.reset_index().rename_axis(columns=None)


def contradictions(claims: Claims) -> Table:
    """The plan's figures set against each other, computed from the claims file."""
    rows = [
        {"title": f.title, "sentence": f.sentence, "claims": ", ".join(f.claims)}
        for f in claims.findings()
    ]
    frame = pd.DataFrame(rows, columns=["title", "sentence", "claims"])
    columns = [Column("title", "what"), Column("sentence", "computed"), Column("claims", "from")]
    return build(frame, columns, title="The plan against itself")


def not_figures(claims: Claims) -> Table:
    """Sentences that no test can judge."""
    rows = [{"wording": s.wording, "why": s.why} for s in claims.not_a_figure]
    frame = pd.DataFrame(rows, columns=["wording", "why"])
    columns = [Column("wording", "the plan says"), Column("why", "why it is no figure")]
    return build(frame, columns, title="Not figures")


_MEASURED = Column("shown", "measured")


def summary_table(card: pd.DataFrame) -> Table:
    """Verdicts by area."""
    frame = summary(card)
    columns = [Column(str(name), str(name)) for name in frame.columns]
    return build(frame, columns, title=f"{len(card)} promised figures")


def summary_plot(card: pd.DataFrame) -> Figure:
    """Verdicts by area, as stacked bars."""
    frame = summary(card)
    judged = len(card) - int(frame[NOT_YET].sum())
    return plots.stacked(
        frame,
        label="area",
        title=f"{judged} of {len(card)} promised figures are measured so far",
        x_label="promised figures",
    )


def scorecard_table(card: pd.DataFrame) -> Table:
    """Every claim with verdict, run and notebook."""
    return build(
        card,
        [
            Column("claim", "claim"),
            Column("promise", "promised"),
            _MEASURED,
            Column("unit", "unit"),
            Column("verdict", "verdict"),
            Column("reason", "why"),
            Column("notebook", "notebook"),
            Column("run", "run"),
        ],
        title="Scorecard",
    )


def plan_tables(card: pd.DataFrame) -> dict[str, Table]:
    """The plan's own tables by a name for a file: the claims that stand under one heading."""
    tables = {}
    for heading, part in card[card["row"] != ""].groupby("table", sort=False):
        name = "_".join(re.findall(r"[a-z0-9]+", str(heading).lower()))
        tables[name] = build(
            part.reset_index(drop=True),
            [
                Column("row", "row"),
                Column("column", "column"),
                Column("claimed_before", "claimed before"),
                Column("promise", "promised"),
                _MEASURED,
                Column("unit", "unit"),
                Column("verdict", "verdict"),
            ],
            title=str(heading),
        )
    return tables
