"""The main experiment: every query of the mix before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import psycopg

from perflab.database.plans import Plan, explain
from perflab.database.session import Session
from perflab.measure.comparison import Comparison, Statistic, compare
from perflab.measure.environment import Guarded, guarded
from perflab.measure.experiment import Operation, Params
from perflab.measure.samples import Samples
from perflab.profiles import DatabaseSizes
from perflab.progress import Step
from perflab.studies.database.arms import Arms, Question
from perflab.studies.database.contrast import run_contrast
from perflab.studies.frames import comparison_frame

ALL = "all"
"""What a claim calls the mix of all queries."""


@dataclass(frozen=True)
class Improvement:
    """The samples of one experiment and every comparison that is drawn from them."""

    samples: Samples
    by_query: dict[str, Comparison]
    by_category: dict[str, Comparison]
    overall: Comparison
    """The equal-weight mix of all queries."""
    claimed: tuple[str, ...]
    """The categories that the claims speak of."""
    stated: Mapping[str, str]
    """By claim id what it is about, where the id does not say so; see ``Arms.about``."""

    def about(self, claim_id: str) -> Comparison | None:
        """What a claim is about: as stated, else the category (or ``all``) in ``area.category.*``.

        None where that is nothing of this experiment.
        """
        kind, _, name = self.stated.get(claim_id, "").partition(":")
        if kind == "query":
            return self.by_query[name]
        if not kind:
            name = subject_of(claim_id)
            kind = name if name == ALL else "category"
        return self.overall if kind == ALL else self.by_category.get(name)

    def categories(self) -> pd.DataFrame:
        """One row a category, then one for all queries together."""
        return comparison_frame({**self.by_category, "all queries": self.overall}, "category")

    def queries(self, statistic: Statistic = "mean") -> pd.DataFrame:
        """One row a query."""
        frame = comparison_frame(self.by_query, "query", statistic)
        frame.insert(0, "category", list(self.samples.groups))
        return frame

    def selectivities(self) -> pd.DataFrame:
        """One row a selectivity of the parameters, over the claimed categories."""
        found: dict[str, Comparison] = {
            label: compare(self.samples, groups=self.claimed, selectivities=[label])
            for label in ("light", "typical", "heavy")
            if label in self.samples.selectivities
        }
        return comparison_frame(found, "users")


def guarded_improvement(
    arms: Arms,
    sizes: DatabaseSizes,
    seed: int,
    step: Step | None = None,
    *,
    cold_buffers: bool = False,
) -> Guarded[Improvement]:
    """``measure_improvement`` between two looks at whether the machine gives its cores."""
    return guarded(lambda: measure_improvement(arms, sizes, seed, step, cold_buffers=cold_buffers))


def measure_improvement(
    arms: Arms,
    sizes: DatabaseSizes,
    seed: int,
    step: Step | None = None,
    questions: Sequence[Question] = (),
    *,
    cold_buffers: bool = False,
) -> Improvement:
    """Ask ``questions`` (all of the mix) in both arms, interleaved, with an A/A control."""
    asked = questions or arms.timed
    statements = {question.name: question.sql for question in asked}

    def call(session: Session, operation: Operation, params: Params) -> int:
        return session.run(statements[operation.name], params)

    samples = run_contrast(
        arms.conninfos,
        call,
        [Operation(q.name, q.category, q.draw) for q in asked],
        rounds=sizes.rounds,
        calls=sizes.calls,
        warmup=sizes.warmup,
        seed=seed,
        plan_cache_mode=arms.plan_cache_mode,
        cold_buffers=cold_buffers,
        step=step,
    )
    categories = list(dict.fromkeys(q.category for q in asked))
    return Improvement(
        samples=samples,
        by_query={q.name: compare(samples, operations=[q.name]) for q in asked},
        by_category={c: compare(samples, groups=[c]) for c in categories},
        overall=compare(samples),
        claimed=tuple(dict.fromkeys(q.category for q in asked if q.claimed)),
        stated=arms.about,
    )


def subject_of(claim_id: str) -> str:
    """``tasks`` of ``database.tasks.improvement``."""
    return [*claim_id.split("."), ""][1]


def explain_queries(arms: Arms, seed: int) -> dict[str, tuple[Plan, Plan]]:
    """Each query's plan in both arms with the same parameters, outside the timing."""
    rng = np.random.default_rng(seed)
    plans = {}
    with (
        psycopg.connect(arms.before, autocommit=True) as before,
        psycopg.connect(arms.after, autocommit=True) as after,
    ):
        for query in arms.questions:
            params = query.draw(rng).params
            for conn in (before, after):
                explain(conn, query.sql, params)  # once more below: plans of warm buffers
            plans[query.name] = (
                explain(before, query.sql, params),
                explain(after, query.sql, params),
            )
    return plans


def plan_frame(plans: dict[str, tuple[Plan, Plan]]) -> pd.DataFrame:
    """One row a query: how it finds its rows before and after, and the buffers it touches."""
    return pd.DataFrame(
        [
            {
                "query": name,
                "before": ", ".join(dict.fromkeys(scan.node for scan in before.scans)),
                "after": ", ".join(dict.fromkeys(scan.node for scan in after.scans)),
                "indexes": ", ".join(after.index_names),
                "buffers_before": before.shared_hit + before.shared_read,
                "buffers_after": after.shared_hit + after.shared_read,
            }
            for name, (before, after) in plans.items()
        ]
    )
