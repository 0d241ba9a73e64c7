"""Indexes that are there, each left out in turn: what it gives and what it costs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from perflab.advisor.returns import Return
from perflab.measure.metrics import reduction_percent
from perflab.measure.statistics import Interval, NotEstimable
from perflab.report.not_run import NotRun
from perflab.report.tables import Column, Table, build
from perflab.studies.frames import triple

_KIB = 1024
_ORDER = ("misleads", "no statement uses it", "nothing is measurably faster with it")


def returns_table(returns: Sequence[Return]) -> Table | NotRun:
    """Every index with its best statement; those that return nothing first."""
    if not returns:
        return NotRun("what indexes return", "no index is there that keeps no promise")
    ranked = sorted(returns, key=_rank)
    frame = pd.DataFrame([_row(one) for one in ranked])
    earning = sum(bool(one.faster) for one in returns)
    return build(
        frame,
        [
            Column("index", "index"),
            Column("finding", "finding"),
            Column("serves", "statements"),
            Column("statement", "gains most"),
            Column("reduction", "less time with it (%)", 0, interval=True),
            Column("kib", "size (KiB)", 0),
            Column("wal", "WAL a row (B)", 0),
            Column("fault", "by its definition"),
        ],
        title=f"{earning} of {len(returns)} indexes earn their keep, each left out in turn",
        subtitle="Left out with all others in place: what another index does as well earns nothing."
        " WAL: of a row replaced, about. Of twenty intervals one is wrong by chance.",
    )


def _rank(one: Return) -> tuple[int, int]:
    """Findings against it first, then the largest."""
    known = one.finding in _ORDER
    return (_ORDER.index(one.finding) if known else len(_ORDER), -one.index.size_bytes)


def _row(one: Return) -> dict[str, object]:
    medians = {
        name: ratio
        for name, comparison in one.serves.items()
        if isinstance(ratio := comparison.median, Interval)
    }
    best = min(medians, key=lambda name: medians[name].estimate, default="")
    gain = reduction_percent(medians[best]) if best else NotEstimable(one.finding)
    return {
        "index": one.index.name,
        "finding": one.finding,
        "serves": len(one.serves),
        "statement": best or "none",
        **triple("reduction", gain),
        "kib": one.index.size_bytes / _KIB,
        "wal": one.wal_bytes,
        "fault": one.fault or "",
    }
