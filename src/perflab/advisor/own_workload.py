"""What runs on a server, out of its own statistics: the statements that an index could help."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perflab.advisor.advice import statements_of
from perflab.advisor.catalog import Catalog
from perflab.advisor.errors import StatementError
from perflab.advisor.normalised import filled
from perflab.advisor.places import places_of
from perflab.advisor.reading import uses_of
from perflab.advisor.sql import parse_one
from perflab.advisor.statement_stats import Snapshot
from perflab.advisor.views import View, written_out
from perflab.advisor.workload import Statement


class OwnWorkload(msgspec.Struct, frozen=True):
    """Statements of a server's statistics, and how many others it had."""

    statements: tuple[Statement, ...]
    passed_over: int
    """DDL, COPY, SET and transactions, reads of system catalogs, inserts that read no table,
    what the advisor itself asked there earlier, and what is beyond the costliest 200."""


def own_workload(snapshot: Snapshot, catalog: Catalog, views: Sequence[View] = ()) -> OwnWorkload:
    """The statements of a snapshot that read tables of the catalogue, costliest first.

    Views are written out. Parameters have their types where a server could not tell them without
    their values. Raises StatementError where there is none.
    """
    taken = tuple(
        msgspec.structs.replace(one, text=typed(one.text, catalog))
        for one in written_out(statements_of(snapshot), views)
        if _looks_up(one.text, catalog)
    )
    if not taken:
        raise StatementError(
            "pg_stat_statements shows no statement that looks up rows of this database's tables;"
            " grant the role pg_read_all_stats, which shows those of others, or name a --workload"
        )
    return OwnWorkload(taken, max(0, snapshot.entries - len(taken)))


def typed(text: str, catalog: Catalog) -> str:
    """``a = $1 * $2`` as ``a = $1::bigint * $2::bigint``, where ``a`` is a bigint."""
    places = places_of(parse_one(text), catalog)
    return filled(text, {n: f"${n}::{place.type}" for n, place in places.items() if place.type})


def _looks_up(text: str, catalog: Catalog) -> bool:
    """Whether rows of a known table are looked for; INSERT ... VALUES does not."""
    return bool(uses_of(parse_one(text), catalog))
