"""The plan's table: every query of the workload before and after the index catalogue."""

from __future__ import annotations

from collections.abc import Sequence
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
from perflab.schema.population import Population
from perflab.schema.queries import QUERIES, Query
from perflab.studies.database.arms import Arms
from perflab.studies.database.contrast import run_contrast
from perflab.studies.frames import comparison_frame

CLAIMED = ("tasks", "habits", "analytics", "profile")
"""The categories of the plan's table; the workload has others beside them."""


@dataclass(frozen=True)
class Improvement:
    """The samples of one experiment and every comparison that is drawn from them."""

    samples: Samples
    by_query: dict[str, Comparison]
    by_category: dict[str, Comparison]
    overall: Comparison
    """The equal-weight mix of all queries."""

    def categories(self) -> pd.DataFrame:
        """One row a category, then one for all queries together."""
        return comparison_frame({**self.by_category, "all queries": self.overall}, "category")

    def queries(self, statistic: Statistic = "mean") -> pd.DataFrame:
        """One row a query."""
        frame = comparison_frame(self.by_query, "query", statistic)
        frame.insert(0, "category", [q.category for q in QUERIES if q.name in self.by_query])
        return frame

    def selectivities(self) -> pd.DataFrame:
        """One row a selectivity of the parameters, over the claimed categories."""
        found: dict[str, Comparison] = {
            label: compare(self.samples, groups=CLAIMED, selectivities=[label])
            for label in ("light", "typical", "heavy")
            if label in self.samples.selectivities
        }
        return comparison_frame(found, "users")


MIX = tuple(query for query in QUERIES if query.index)
"""Every query that an index of the catalogue serves."""


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
    queries: Sequence[Query] = MIX,
    *,
    cold_buffers: bool = False,
) -> Improvement:
    """Run the workload in both arms, interleaved, with an A/A control."""
    statements = {query.name: query.sql for query in queries}

    def call(session: Session, operation: Operation, params: Params) -> int:
        return session.run(statements[operation.name], params)

    samples = run_contrast(
        arms.conninfos,
        call,
        [_operation(query, arms.population) for query in queries],
        rounds=sizes.rounds,
        calls=sizes.calls,
        warmup=sizes.warmup,
        seed=seed,
        plan_cache_mode=arms.plan_cache_mode,
        cold_buffers=cold_buffers,
        step=step,
    )
    categories = list(dict.fromkeys(q.category for q in queries))
    return Improvement(
        samples=samples,
        by_query={q.name: compare(samples, operations=[q.name]) for q in queries},
        by_category={c: compare(samples, groups=[c]) for c in categories},
        overall=compare(samples),
    )


def _operation(query: Query, population: Population) -> Operation:
    return Operation(query.name, query.category, lambda rng: query.draw(rng, population))


def explain_queries(
    arms: Arms, seed: int, queries: Sequence[Query] = QUERIES
) -> dict[str, tuple[Plan, Plan]]:
    """Each query's plan in both arms with the same parameters, outside the timing."""
    rng = np.random.default_rng(seed)
    plans = {}
    with (
        psycopg.connect(arms.before, autocommit=True) as before,
        psycopg.connect(arms.after, autocommit=True) as after,
    ):
        for query in queries:
            params = query.draw(rng, arms.population).params
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
