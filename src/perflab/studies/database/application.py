"""The lab's own subject: a seeded productivity application and its catalogue of indexes."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from perflab.database.index_builder import build_indexes
from perflab.datasets import Datasets
from perflab.measure.claims import Claims
from perflab.parameters import DatabaseParameters, PlanCacheMode
from perflab.profiles import Profile
from perflab.progress import Step
from perflab.report.tables import Column, Table, build
from perflab.schema.indexes import CATALOGUE, select_indexes
from perflab.schema.population import Population
from perflab.schema.queries import PLAN_CATEGORIES, QUERIES, Query
from perflab.schema.seed import rows_per_table
from perflab.studies.database.arms import LabArms, Question, settle
from perflab.studies.database.subject import Bench


class Application:
    """The subject of the plan's claims."""

    def __init__(self, parameters: DatabaseParameters, profile: Profile) -> None:
        self._parameters = parameters
        self._users = profile.database.users

    def claims(self, given: Claims) -> Claims:
        """All of them."""
        return given

    def row_frame(self) -> Table:
        """The rows of each table."""
        rows = rows_per_table(self._users)
        frame = pd.DataFrame({"table": list(rows), "rows": list(rows.values())})
        return build(
            frame,
            [Column("table", "table"), Column("rows", "rows")],
            title=f"{sum(rows.values()):,} rows for {self._users:,} users",
        )

    def catalogue_frame(self) -> Table:
        """The indexes of the *after* arm."""
        frame = pd.DataFrame(
            [
                {
                    "index": spec.name + (" *" if spec.claim_plan else ""),
                    "kind": spec.kind,
                    "definition": f"{spec.table} {spec.on}",
                    "serves": spec.serves,
                    "why": spec.why,
                }
                for spec in select_indexes(self._parameters.without_indexes)
            ]
        )
        return build(
            frame,
            [
                Column("index", "index"),
                Column("kind", "kind"),
                Column("definition", "on"),
                Column("serves", "serves the query"),
                Column("why", "why so"),
            ],
            title=f"{len(frame)} of the catalogue's {len(CATALOGUE)} indexes",
            subtitle="* named by the plan",
        )

    def make_arms(self, lab: Bench, step: Step) -> LabArms:
        """Two clones of the profile's template, one with the catalogue."""
        return make_lab_arms(
            lab.datasets,
            without=self._parameters.without_indexes,
            plan_cache_mode=self._parameters.plan_cache_mode,
            step=step,
        )


def make_lab_arms(
    datasets: Datasets,
    *,
    users: int | None = None,
    without: Collection[str] = (),
    plan_cache_mode: PlanCacheMode = "force_custom_plan",
    step: Step | None = None,
) -> LabArms:
    """Clone a size's template twice and build the catalogue in one of the clones."""
    specs = select_indexes(without)
    before, after = datasets.clone("before", users), datasets.clone("after", users)
    settled = settle(before, after, lambda arm: build_indexes(arm, specs, progress=step))
    population = datasets.population(users)
    return LabArms(
        before=before,
        after=after,
        questions=tuple(_question(query, population) for query in QUERIES),
        rows=settled.rows,
        built=settled.built,
        serves={spec.name: spec.serves for spec in CATALOGUE},
        before_bytes=settled.before_bytes,
        after_bytes=settled.after_bytes,
        plan_cache_mode=plan_cache_mode,
        datasets=datasets,
        population=population,
    )


def _question(query: Query, population: Population) -> Question:
    return Question(
        name=query.name,
        category=query.category,
        sql=query.sql,
        draw=lambda rng: query.draw(rng, population),
        timed=bool(query.index),
        claimed=query.category in PLAN_CATEGORIES,
    )
