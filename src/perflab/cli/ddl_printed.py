"""The statements that make an index, as ``perflab advise`` prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perflab.advisor.candidates import Candidate
    from perflab.advisor.catalog import Catalog

_MOST = 24
"""More statements than these are in the file of --out alone: a table may have 1,000 partitions."""


def shown_ddl(candidate: Candidate, catalog: Catalog) -> str:
    """All statements, or as many as there is room for; the last one without its semicolon."""
    from perflab.advisor.partitions import statements_for

    statements = statements_for(candidate, catalog)
    shown = ";\n".join(statements[:_MOST])
    more = len(statements) - _MOST
    return f"{shown};\n-- and {more:,} more, in the file of --out" if more > 0 else shown
