"""The database's claims judged: which comparison or count each claim's id means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from perflab.database.plans import Plan
from perflab.measure.claims import Claim, Claims
from perflab.measure.metrics import METRICS
from perflab.measure.results import Origin, Result, from_comparison, from_estimate
from perflab.measure.statistics import Estimate, exact
from perflab.schema.indexes import CATALOGUE
from perflab.studies.database.improvement import Improvement, subject_of
from perflab.studies.frames import triple

NOTEBOOK = "01_database"
QUERY_METRICS = ("mean_reduction_percent", "median_reduction_percent")
"""What is recorded of every query, claimed or not."""
PAGE_BYTES = 8_192
"""A page of PostgreSQL's buffers, unless the server was built with another size."""


def judge_improvement(
    claims: Claims, improvement: Improvement, origin: Origin, warnings: Sequence[str] = ()
) -> list[Result]:
    """Results of every claim that is about a part of the experiment, then each query's.

    The claim's own metric decides what of the comparison is judged. A query has one result for
    its mean and one for its median: the median varies less from run to run, so that ``perflab
    compare`` sees smaller changes in it; the mean also holds the slow calls.
    """
    judged = [
        from_comparison(origin, comparison, claim=claim, warnings=warnings)
        for claim in claims.of(notebook=NOTEBOOK)
        if METRICS[claim.metric].kind != "value"
        and (comparison := improvement.about(claim.id)) is not None
    ]
    shown = [
        from_comparison(
            origin, comparison, name=f"database.query.{name}", metric=metric, warnings=warnings
        )
        for name, comparison in improvement.by_query.items()
        for metric in QUERY_METRICS
    ]
    return judged + shown


def judge_counts(claims: Claims, counts: Mapping[str, Estimate], origin: Origin) -> list[Result]:
    """Results of claims whose figure is a count, by claim id; ids not claimed are left out."""
    return [
        from_estimate(origin, estimate, n=1, claim=claims.get(id_))
        for id_, estimate in counts.items()
        if id_ in claims
    ]


def judge_indexes(
    claims: Claims, plans: Mapping[str, tuple[Plan, Plan]], origin: Origin
) -> list[Result]:
    """The claim about the number of indexes, then what each query's plan touches after.

    Only indexes that a query's plan uses count. The buffers that a plan touches for the same
    parameters over the same rows do not depend on the machine's mood, so that ``perflab
    compare`` sees a lost index in them even where another one hides it from the clock.
    """
    catalogue = {spec.name for spec in CATALOGUE}
    used = {name for _before, after in plans.values() for name in after.index_names}
    counts = {"database.indexes.count": exact(float(len(used & catalogue)))}
    touched = [
        from_estimate(
            origin,
            exact(float(PAGE_BYTES * (after.shared_hit + after.shared_read))),
            n=1,
            name=f"database.buffers.{query}",
            metric="size_bytes",
        )
        for query, (_before, after) in plans.items()
    ]
    return judge_counts(claims, counts, origin) + touched


def verdict_frame(results: Iterable[Result], claims: Claims) -> pd.DataFrame:
    """One row a judged result: what was claimed, what was measured, the verdict."""
    rows = []
    for result in results:
        if result.claim is None or result.verdict is None:
            continue
        claim = claims.get(result.claim)
        rows.append(
            {
                "claim": claim.id,
                "row": claim.row or f"{subject_of(claim.id)} queries",
                "promise": claim.promise,
                "claimed": claim.target,
                **triple("measured", result.value),
                "unit": result.unit,
                "verdict": result.verdict.word,
                "reason": result.verdict.reason,
            }
        )
    return pd.DataFrame(rows)


def plan_table(results: Iterable[Result], claims: Claims) -> pd.DataFrame:
    """The plan's improvement table: claimed before, after and improvement beside measured.

    One row a category with a claimed reduction, in the plan's order.
    """
    by_claim = {r.claim: r for r in results if r.claim}
    rows = []
    for claim in claims.of(notebook=NOTEBOOK):
        result = by_claim.get(claim.id)
        if result is None or METRICS[claim.metric].kind != "reduction":
            continue
        if result.before is None or result.after is None or result.verdict is None:
            continue
        absolute = _absolute(claims, subject_of(claim.id))
        rows.append(
            {
                "row": claim.row or f"{subject_of(claim.id)} queries",
                "claimed_before": absolute.before if absolute else None,
                "claimed_after": absolute.target if absolute else None,
                "claimed": claim.target,
                **triple("before", result.before.mean_ms),
                **triple("after", result.after.mean_ms),
                **triple("measured", result.value),
                **(triple("aa", result.aa) if result.aa else {}),
                "verdict": result.verdict.word,
            }
        )
    return pd.DataFrame(rows)


def claimed_reductions(claims: Claims) -> dict[str, float]:
    """The claimed mean reduction of each category in percent."""
    return {
        subject_of(claim.id): claim.target
        for claim in claims.of(notebook=NOTEBOOK)
        if METRICS[claim.metric].name == "mean_reduction_percent"
    }


def _absolute(claims: Claims, subject: str) -> Claim | None:
    """The claim about the same subject's milliseconds, if the plan makes one."""
    of_subject = (c for c in claims.of(notebook=NOTEBOOK) if subject_of(c.id) == subject)
    return next((c for c in of_subject if METRICS[c.metric].kind == "absolute"), None)
