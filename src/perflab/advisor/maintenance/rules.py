"""Findings out of a database's catalogs and counters: stale, dead, bloated, autovacuum off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from perflab.advisor.maintenance.autovacuum import (
    autovacuum_findings,
    looked_after,
    waits_for,
)
from perflab.advisor.maintenance.findings import Finding, Limits, ranked
from perflab.advisor.maintenance.health import PAGE_BYTES, Health, IndexHealth, TableHealth

_LONG_S = 600.0
_LEAST_PAGES = 10
"""For so large the planner takes a table of which it knows nothing (``estimate_rel_size``)."""


def inspect(
    health: Health,
    limits: Limits | None = None,
    counted: Mapping[str, float] | None = None,
    earlier: Health | None = None,
) -> tuple[Finding, ...]:
    """What the state of the tables says, most urgent first; nothing is a valid answer.

    ``counted`` has the wasted bytes of tables and indexes in which they were counted, by name.
    With an ``earlier`` state autovacuum's settings follow from the rows that changed in between.
    """
    bounds = limits or Limits()
    found: list[Finding] = []
    for table in health.tables:
        found += _stale(table, health, bounds)
        dead = [*_dead(table, health, bounds)]
        # what VACUUM frees, new rows may fill: whether the rest is too much shows afterwards
        found += dead or _bloat(table, bounds, counted or {})
    cleared = {one.table for one in found if one.kind in ("dead", "bloat")}
    for index in health.indexes:
        if index.table not in cleared:  # VACUUM frees entries, and FULL makes all indexes anew
            found += _index_bloat(index, bounds, counted or {})
    return ranked((*found, *autovacuum_findings(health, bounds, earlier)))


def _stale(table: TableHealth, health: Health, limits: Limits) -> Iterator[Finding]:
    caution = _due(table, health, "analyze", table.changed)

    def finding(figure: str, weight: float) -> Finding:
        statements = (f"ANALYZE {table.name}",)
        return Finding("stale", table.name, figure, statements, weight, caution=caution)

    if table.pages_now < _LEAST_PAGES:
        return
    if table.analyzed_at is None and table.columns and table.readable and not table.columns_known:
        yield finding(
            f"never analysed, {_mib(table.pages_now)} of rows: the planner guesses",
            table.pages_now / _LEAST_PAGES,
        )
        return
    rows = table.believed_rows
    least = max(limits.changed_rows, limits.changed_share * rows)
    changed = _changed(table)
    if changed >= least:
        yield finding(
            f"{changed:,.0f} rows changed since the last ANALYZE, of {rows:,.0f}", changed / least
        )
    elif table.analyzed_at is None and table.pages_now >= limits.grown * max(table.pages, 1):
        # counters may have been lost; the file itself cannot be
        yield finding(
            f"grown from {table.pages:,} to {table.pages_now:,} pages since rows were counted",
            table.pages_now / (limits.grown * max(table.pages, 1)),
        )


def _due(table: TableHealth, health: Health, what: str, rows: int) -> str:
    """Says so where autovacuum would do it anyway."""
    due = looked_after(table, health) and rows >= waits_for(table, health.settings, what)
    return "autovacuum is due here and may come first" if due else ""


def _changed(table: TableHealth) -> float:
    """Rows changed since the last ANALYZE, as far as the file bears the counters out.

    A session's counters reach the server up to a minute late: rows that it loaded right before
    its own ANALYZE are then told as changed after it. But rows that came made the file grow, or
    took the place of others.
    """
    if table.rows <= 0 or not table.pages:
        return table.changed
    grown = table.rows / table.pages * (table.pages_now - table.pages + 1)
    return min(float(table.changed), grown + 2.0 * table.rewritten)


def _dead(table: TableHealth, health: Health, limits: Limits) -> Iterator[Finding]:
    rows = table.live + table.dead
    least = max(limits.dead_rows, limits.dead_share * rows)
    if table.dead < least:
        return
    caution = _due(table, health, "vacuum", table.dead)
    if health.oldest_s >= _LONG_S:
        caution = (
            f"a transaction has been open for {health.oldest_s / 60:,.0f} minutes: VACUUM keeps"
            " the rows that died since it began"
        )
    yield Finding(
        "dead",
        table.name,
        f"{table.dead:,} of {rows:,} rows are dead",
        (f"VACUUM (ANALYZE) {table.name}",),
        table.dead / least,
        caution=caution,
    )


def _bloat(table: TableHealth, limits: Limits, counted: Mapping[str, float]) -> Iterator[Finding]:
    figure, weight = _wasted(table, limits, counted)
    if weight < 1:
        return
    yield Finding(
        "bloat",
        table.name,
        figure,
        (f"VACUUM (FULL, ANALYZE) {table.name}",),
        weight,
        caution="locks the table for as long as it takes to write it anew; pg_repack does not."
        " Space that new rows will soon fill again is no loss",
    )


def _index_bloat(
    index: IndexHealth, limits: Limits, counted: Mapping[str, float]
) -> Iterator[Finding]:
    figure, weight = _wasted(index, limits, counted)
    if weight < 1:
        return
    yield Finding(
        "index bloat",
        index.table,
        f"{index.name}: {figure}",
        (f"REINDEX INDEX CONCURRENTLY {index.name}",),
        weight,
        caution="needs room for a second index while it runs, and waits for older transactions."
        " Space that new rows will soon fill again is no loss",
        index=index.name,
    )


def _wasted(
    what: TableHealth | IndexHealth, limits: Limits, counted: Mapping[str, float]
) -> tuple[str, float]:
    """How much of the file is wasted, in words and as a multiple of the limit."""
    size, expected = what.pages_now * PAGE_BYTES, what.expected_pages
    if what.name in counted:
        is_index = isinstance(what, IndexHealth)
        share = limits.wasted_share_index if is_index else limits.wasted_share
        wasted, how = counted[what.name], "counted"
    elif expected is not None:
        wasted = (what.pages - expected) * PAGE_BYTES
        share, how = limits.wasted_share_estimated, "estimated from the columns' widths"
    else:
        return "", 0.0
    figure = f"{wasted / 2**20:,.0f} of {size / 2**20:,.0f} MiB are dead or free space ({how})"
    return figure, wasted / max(limits.wasted_bytes, share * size)


def _mib(pages: int) -> str:
    return f"{pages * PAGE_BYTES / 2**20:,.1f} MiB"
