"""The columns that several tables of the database study share."""

from __future__ import annotations

from perflab.report.tables import Column

LATENCIES = (
    Column("before", "before (ms)", 2, interval=True),
    Column("after", "after (ms)", 2, interval=True),
)
REDUCTION = Column("reduction", "faster by (%)", 1, interval=True)
AA = Column("aa", "A/A ratio", 2, interval=True)
