"""What the notebook is about, as tables that change only with the package: nbval compares them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from perflab.database.plans import Plan
from perflab.measure.claims import Claims
from perflab.report.tables import Column, Table, build
from perflab.schema.indexes import CATALOGUE, select_indexes
from perflab.schema.seed import rows_per_table
from perflab.services import Postgres
from perflab.studies.database.arms import Arms
from perflab.studies.database.verdicts import NOTEBOOK


def claimed_frame(claims: Claims) -> Table:
    """The claims that this notebook judges."""
    rows = [
        {"claim": c.id, "wording": c.wording, "promise": c.promise}
        for c in claims.of(notebook=NOTEBOOK)
    ]
    frame = pd.DataFrame(rows, columns=["claim", "wording", "promise"])
    columns = [Column("claim", "claim"), Column("wording", "the plan says")]
    return build(frame, [*columns, Column("promise", "judged as")], title="Promised")


def row_frame(users: int) -> Table:
    """The rows of each table."""
    rows = rows_per_table(users)
    frame = pd.DataFrame({"table": list(rows), "rows": list(rows.values())})
    return build(
        frame,
        [Column("table", "table"), Column("rows", "rows")],
        title=f"{sum(rows.values()):,} rows for {users:,} users",
    )


def catalogue_frame(without: Collection[str] = ()) -> Table:
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
            for spec in select_indexes(without)
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


def indexes_used(plans: Mapping[str, tuple[Plan, Plan]]) -> Table:
    """The indexes that each query's plan uses in the *after* arm."""
    rows = [
        {"query": q, "indexes": ", ".join(sorted(after.index_names))}
        for q, (_, after) in plans.items()
    ]
    frame = pd.DataFrame(rows)
    columns = [Column("query", "query"), Column("indexes", "indexes in its plan")]
    return build(frame, columns, title="Indexes used after")


def describe(arms: Arms, postgres: Postgres) -> str:
    """One paragraph about the arms, with what a reader must know of the buffers."""
    buffers = _megabytes(postgres.settings.get("shared_buffers", "128MB"))
    needed = (arms.before_bytes + arms.after_bytes) / 2**20
    fits = (
        "holds both" if buffers >= needed else "does NOT hold both: figures include reads of files"
    )
    return (
        f"{arms.rows:,} rows in each arm; before {arms.before_bytes / 2**20:,.0f} MiB, "
        f"after {arms.after_bytes / 2**20:,.0f} MiB; shared_buffers {buffers:,} MiB {fits}.\n"
        f"{len(arms.built.built)} indexes built, {len(arms.built.failed)} failed; autovacuum is "
        f"off in both arms while timing; plan_cache_mode = {arms.plan_cache_mode}.\n"
        f"PostgreSQL {postgres.version} ({postgres.rung}), beyond its defaults: "
        + ", ".join(f"{name} = {value}" for name, value in postgres.settings.items())
    )


def _megabytes(text: str) -> int:
    factors = {"kB": 1 / 1024, "MB": 1, "GB": 1024}
    unit = text[-2:]
    return round(int(text[:-2]) * factors[unit]) if unit in factors else 0
