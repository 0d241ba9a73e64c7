"""Filtering by selectivity: the share of a table from which an index stops helping."""

from __future__ import annotations

import pandas as pd
import psycopg

from perflab.database.plans import explain
from perflab.database.session import Session
from perflab.measure.comparison import compare
from perflab.measure.experiment import Operation, Params
from perflab.profiles import DatabaseSizes
from perflab.progress import Step
from perflab.schema.queries import QUERIES
from perflab.studies.database.arms import LabArms, needs_lab_schema
from perflab.studies.database.contrast import always, run_contrast
from perflab.studies.frames import comparison_row

SHARES = (0.0001, 0.001, 0.01, 0.1, 0.5, 1.0)
"""Shares of habit_entries that the filter lets through."""
ROLLUP = next(query for query in QUERIES if not query.index)
"""The workload's query that reads a whole table; no index of the catalogue serves it."""
SQL = "SELECT sum(amount) FROM habit_entries WHERE habit_id <= %(last)s"
"""``amount`` is in no index, so each row that matches is fetched from the table."""


@needs_lab_schema("filtering by selectivity")
def measure_selectivity(
    arms: LabArms, sizes: DatabaseSizes, seed: int, step: Step | None = None
) -> pd.DataFrame:
    """The same filter at ever larger shares; one row a share, with the plan chosen after."""
    last = {_label(share): max(1, round(share * _habits(arms.before))) for share in SHARES}
    statements = {**dict.fromkeys(last, SQL), ROLLUP.name: ROLLUP.sql}

    def call(session: Session, operation: Operation, params: Params) -> int:
        return session.run(statements[operation.name], params)

    samples = run_contrast(
        arms.conninfos,
        call,
        [
            *(Operation(label, "share", always({"last": n})) for label, n in last.items()),
            Operation(ROLLUP.name, "whole", lambda rng: ROLLUP.draw(rng, arms.population)),
        ],
        rounds=sizes.rounds,
        calls=1,
        warmup=0,  # a scan warms itself, and the report is long
        seed=seed,
        plan_cache_mode=arms.plan_cache_mode,
        step=step,
    )
    plans = _plans(arms.after, last)
    rows: list[dict[str, object]] = [
        {
            "filter": _label(share),
            "share_percent": 100 * share,
            **comparison_row(compare(samples, operations=[_label(share)])),
            "plan": plans[_label(share)],
        }
        for share in SHARES
    ]
    whole = compare(samples, operations=[ROLLUP.name])
    rows.append(
        {"filter": f"all ({ROLLUP.name})", **comparison_row(whole), "plan": "no index serves it"}
    )
    return pd.DataFrame(rows)


def _label(share: float) -> str:
    return f"{100 * share:g} %"


def _habits(conninfo: str) -> int:
    with psycopg.connect(conninfo) as conn:
        row = conn.execute("SELECT max(id) FROM habits").fetchone()
    return int(row[0]) if row and row[0] else 1


def _plans(conninfo: str, last: dict[str, int]) -> dict[str, str]:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        return {label: explain(conn, SQL, {"last": n}).summary for label, n in last.items()}
