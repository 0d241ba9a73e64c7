"""What a finding is, when something is one, and the order in which findings are told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

Kind = Literal["correlated", "coarse", "dead", "stale", "bloat", "index bloat", "off", "autovacuum"]
"""``coarse``: a column whose statistics keep too few values. ``off``: autovacuum is."""

SERVER = "(server)"
"""In place of a table, for what is set for a whole server."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From where on something is worth a word; small tables are left alone throughout."""

    misestimate: Positive = 10.0
    """Rows expected against rows met, or the other way round, as a factor."""
    misestimated_rows: Positive = 100.0
    """And by so many rows."""
    changed_rows: Positive = 1_000.0
    changed_share: Share = 0.2
    """Of the rows, changed since the last ANALYZE. Autovacuum's default is a tenth."""
    grown: Positive = 2.0
    """Pages now over pages when they were last counted."""
    dead_rows: Positive = 1_000.0
    dead_share: Share = 0.3
    """Of all rows. Autovacuum's default lets a sixth be dead before it comes."""
    wasted_bytes: Positive = 8 * 2**20
    wasted_share: Share = 0.4
    """Of a table's pages, where free and dead space was counted (pgstattuple)."""
    wasted_share_index: Share = 0.5
    """Of a B-tree's, counted. Pages that were split are half full, and fill up again."""
    wasted_share_estimated: Share = 0.6
    """The same out of average widths, which are wrong by a fifth at times."""
    waiting_rows: Positive = 100_000.0
    """Dead or changed rows that a large table should not wait for much longer."""
    waiting_factor: Positive = 5.0
    """Autovacuum settings are worth changing where it waits for so many times more."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong, the figure that says so, and what to run."""

    kind: Kind
    table: str
    figure: str
    """What triggered it, in words; without values of the data."""
    statements: tuple[str, ...]
    weight: float
    """How many times over its limit it is."""
    serves: tuple[str, ...] = ()
    """Statements of the workload whose plan it changes."""
    caution: str = ""
    """What to know before running it."""
    index: str = ""
    """The index that it is about, as SQL writes it; empty where it is about the table."""


_ORDER: tuple[Kind, ...] = (
    "correlated", "coarse", "dead", "stale", "bloat", "index bloat", "off", "autovacuum",
)  # fmt: skip


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What changes a plan comes first, then by kind and by how far over its limit it is.

    Findings of the same statements are one: it keeps the words of both. An ANALYZE is part of
    the VACUUM that its table needs anyway.
    """
    found = tuple(findings)
    vacuums = {f.table: f.statements for f in found if f.kind == "dead"}
    merged: dict[tuple[str, ...], Finding] = {}
    for one in found:
        key = vacuums.get(one.table, one.statements) if one.kind == "stale" else one.statements
        there = merged.get(key)
        finding = msgspec.structs.replace(one, statements=key)
        merged[key] = _joined(there, finding) if there else finding
    return tuple(
        sorted(
            merged.values(), key=lambda f: (not f.serves, _ORDER.index(f.kind), -f.weight, f.table)
        )
    )


def _joined(one: Finding, other: Finding) -> Finding:
    first, second = sorted((one, other), key=lambda f: (not f.serves, _ORDER.index(f.kind)))
    return msgspec.structs.replace(
        first,
        figure="; ".join(dict.fromkeys((first.figure, second.figure))),
        weight=max(one.weight, other.weight),
        serves=tuple(dict.fromkeys((*first.serves, *second.serves))),
        caution=first.caution or second.caution,
    )
