"""Every claim on one page: measured or not yet, verdict, and the run and notebook behind it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from perflab.errors import ParameterError
from perflab.measure.claims import Claim, Claims
from perflab.measure.results import Newest, Result, newest_per_claim, read_results
from perflab.paths import runs_dir
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
    run = os.environ.get(DEFAULT_RUN_VARIABLE, run) if run == "newest" else run
    if run == "newest":
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
    folder = next((p for p in (Path(run), runs_dir() / run) if (p / "results").is_dir()), None)
    if folder is None:
        raise ParameterError(f"run={run!r}: no run of that name or folder; runs are in {runs_dir()}")
    results = [r for p in sorted(folder.glob("results/*.json")) for r in read_results(p)]
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
        "wording": claim.wording,
        "promise": claim.promise,
        "claimed_before": claim.before,
    }
    if result is None or result.verdict is None:
        return {
            **found,
            **dict.fromkeys(("measured", "measured_lo", "measured_hi"), float("nan")),
            "unit": claim.unit,
            "verdict": NOT_YET,
            "reason": "",
            "notebook": claim.notebook,
            "run": "",
        }
    return {
        **found,
        **triple("measured", result.value),
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


def contradictions(claims: Claims) -> pd.DataFrame:
    """The plan's figures set against each other, computed from the claims file."""
    rows = [
        {"contradiction": f.title, "sentence": f.sentence, "contradicts": f.contradicts}
        for f in claims.findings()
    ]
    return pd.DataFrame(rows, columns=["contradiction", "sentence", "contradicts"])


def not_figures(claims: Claims) -> pd.DataFrame:
    """Sentences that no test can judge."""
    rows = [{"wording": s.wording, "why": s.why} for s in claims.not_a_figure]
    return pd.DataFrame(rows, columns=["wording", "why"])
