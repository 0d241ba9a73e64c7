"""What the notebook is about, as tables that change only with the package: nbval compares them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from perflab.database.plans import Plan
from perflab.measure.claims import Claims
from perflab.report.tables import Column, Table, build
from perflab.services import Postgres
from perflab.studies.database.arms import Arms
from perflab.studies.database.verdicts import NOTEBOOK
from perflab.studies.promised import claimed_table


def claimed_frame(claims: Claims) -> Table:
    """The claims that this notebook judges."""
    return claimed_table(claims, NOTEBOOK)


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
    failed = "".join(f"\n{f.name} was not built: {f.reason}" for f in arms.built.failed)
    remarks = "".join(f"\n{remark}" for remark in arms.remarks)
    return (
        f"{arms.rows:,} rows in each arm; before {arms.before_bytes / 2**20:,.0f} MiB, "
        f"after {arms.after_bytes / 2**20:,.0f} MiB; shared_buffers {buffers:,} MiB {fits}.\n"
        f"Added after: {len(arms.built.built)} built, {len(arms.built.failed)} failed; autovacuum "
        f"is off in both arms while timing; plan_cache_mode = {arms.plan_cache_mode}.\n"
        f"PostgreSQL {postgres.version} ({postgres.rung}), beyond its defaults: "
        + ", ".join(f"{name} = {value}" for name, value in postgres.settings.items())
        + failed
        + remarks
    )


def _megabytes(text: str) -> int:
    factors = {"kB": 1 / 1024, "MB": 1, "GB": 1024}
    unit = text[-2:]
    return round(int(text[:-2]) * factors[unit]) if unit in factors else 0
