"""The columns of a table of single figures."""

from __future__ import annotations

from typing import Final

from perflab.report.tables import Column

FIGURES: Final = (Column("what", "what"), Column("figure", "figure"))
