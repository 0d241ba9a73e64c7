"""Pages ever deeper: OFFSET against keyset, on the same indexed database."""

from __future__ import annotations

import pandas as pd
import psycopg

from perflab.database.pagination import ALL_TASKS, offset_page
from perflab.database.session import Session
from perflab.measure.comparison import compare
from perflab.measure.experiment import Operation, Params
from perflab.profiles import DatabaseSizes
from perflab.progress import Step
from perflab.studies.database.arms import LabArms, needs_lab_schema
from perflab.studies.database.contrast import always, run_contrast
from perflab.studies.frames import comparison_row

PAGE_ROWS = 20
DEPTHS = (1, 10, 100, 1_000, 5_000)


@needs_lab_schema("pages ever deeper")
def measure_paging(
    arms: LabArms, sizes: DatabaseSizes, seed: int, step: Step | None = None
) -> pd.DataFrame:
    """One row a depth; *before* is OFFSET, *after* keyset, both on the indexed database."""
    with psycopg.connect(arms.after) as conn:
        drawn = {page: _params(conn, page) for page in DEPTHS}

    def offset(session: Session, _operation: Operation, params: Params) -> int:
        return session.run(ALL_TASKS.offset_sql, params)

    def keyset(session: Session, _operation: Operation, params: Params) -> int:
        return session.run(ALL_TASKS.keyset_sql, params)

    samples = run_contrast(
        (arms.after, arms.after, arms.after),
        (offset, keyset, keyset),
        [Operation(f"page {page}", "pages", always(params)) for page, params in drawn.items()],
        names=("offset", "keyset", "keyset again"),
        rounds=sizes.rounds,
        calls=sizes.calls,
        seed=seed,
        plan_cache_mode=arms.plan_cache_mode,
        step=step,
    )
    return pd.DataFrame(
        [
            {"page": page, **comparison_row(compare(samples, operations=[f"page {page}"]))}
            for page in DEPTHS
        ]
    )


def _params(conn: psycopg.Connection, page: int) -> dict[str, object]:
    """Both statements' parameters of page ``page`` (from 1)."""
    after = ALL_TASKS.start
    if page > 1:
        after = offset_page(conn, ALL_TASKS, page - 2, PAGE_ROWS).next or after
    return {
        "size": PAGE_ROWS,
        "offset": (page - 1) * PAGE_ROWS,
        "created_at": after.created_at,
        "id": after.id,
    }
