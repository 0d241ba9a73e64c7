"""When autovacuum comes to a table, and the settings that make it come in time.

It comes when ``threshold + scale_factor * reltuples`` rows are dead (or changed, for ANALYZE), a
share of the table: fine for ten thousand rows, and too late for a hundred million
(https://www.postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from perflab.advisor.maintenance.findings import SERVER, Finding, Limits
from perflab.advisor.maintenance.health import Health, TableHealth

_SWITCHES = ("autovacuum", "track_counts")
_OFF = ("false", "off", "0", "no")
_HOUR_S = 3600.0
_MOST_OFTEN_H = 1 / 6
"""Of a table that changes so fast, more dead rows are waited for: a run takes its time too."""
_SELDOM_H = 90 * 24.0
"""A table that would reach even the proposed threshold later than this needs no setting."""
_LEAST_SCALE = 0.001
_IDLE_ROWS = 1_000
"""A table this small may have autovacuum off and nobody notices."""


def waits_for(table: TableHealth, settings: dict[str, str], what: str) -> float:
    """Rows that must be dead (``what`` "vacuum") or changed ("analyze") before autovacuum comes."""

    def of(name: str, default: float) -> float:
        full = f"autovacuum_{what}_{name}"
        return float(table.options.get(full, settings.get(full, default)))

    rows = of("threshold", 50) + of("scale_factor", 0.2) * max(table.rows, 0.0)
    most = of("max_threshold", -1)  # of VACUUM, PostgreSQL 18 and later
    return min(rows, most) if most >= 0 else rows


def looked_after(table: TableHealth, health: Health) -> bool:
    """Whether autovacuum is on, for the server and for this table."""
    return (
        all(health.settings.get(name) != "off" for name in _SWITCHES)
        and table.options.get("autovacuum_enabled", "on") not in _OFF
    )


def autovacuum_findings(
    health: Health, limits: Limits, earlier: Health | None = None
) -> Iterator[Finding]:
    """Autovacuum switched off, and large tables for which it waits too long."""
    if not health.tables:
        return
    for name in _SWITCHES:
        if health.settings.get(name) == "off":
            statements = (f"ALTER SYSTEM SET {name} = on", "SELECT pg_reload_conf()")
            yield Finding("off", SERVER, f"{name} is off for all tables", statements, 1.0)
    for table in health.tables:
        if table.options.get("autovacuum_enabled", "on") in _OFF:
            if table.believed_rows >= _IDLE_ROWS:
                yield _switched_off(table)
        elif max(table.rows, 0.0) and table.dying:
            yield from _late(table, health, limits, earlier)


def _switched_off(table: TableHealth) -> Finding:
    return Finding(
        "off",
        table.name,
        f"autovacuum is off for this table of {table.believed_rows:,.0f} rows",
        (f"ALTER TABLE {table.name} RESET (autovacuum_enabled)",),
        1.0,
    )


def _late(
    table: TableHealth, health: Health, limits: Limits, earlier: Health | None
) -> Iterator[Finding]:
    hourly = dying_per_hour(table, health, earlier)
    pace = (hourly or 0.0) * _MOST_OFTEN_H
    wanted = max(limits.waiting_rows, pace, _LEAST_SCALE * table.rows)
    waits = {what: waits_for(table, health.settings, what) for what in ("vacuum", "analyze")}
    late = [what for what, rows in waits.items() if rows >= limits.waiting_factor * wanted]
    if not late or (hourly is not None and hourly * _SELDOM_H < wanted):
        return
    scale = max(_LEAST_SCALE, _rounded(wanted / table.rows))
    settings = ", ".join(f"autovacuum_{what}_scale_factor = {scale:g}" for what in late)
    longest = max(waits[what] for what in late)
    days = f", {longest / hourly / 24:,.1f} days' worth" if hourly else ""
    yield Finding(
        "autovacuum",
        table.name,
        f"autovacuum waits for {longest:,.0f} changed rows of {table.rows:,.0f}{days}",
        (f"ALTER TABLE {table.name} SET ({settings})",),
        longest / (limits.waiting_factor * wanted),
        caution=f"then it comes after about {scale * table.rows:,.0f}",
    )


def dying_per_hour(table: TableHealth, health: Health, earlier: Health | None) -> float | None:
    """Rows left for VACUUM in an hour; None where it is not known since when they are counted."""
    if earlier is not None:
        before = next((t.dying for t in earlier.tables if t.name == table.name), 0)
        grown, since = table.dying - before, earlier.taken_at
    elif health.counting_since is not None:
        grown, since = table.dying, health.counting_since
    else:
        return None
    seconds = (health.taken_at - since).total_seconds()
    return max(0, grown) * _HOUR_S / seconds if seconds > 0 else None


def _rounded(share: float) -> float:
    """Down to one figure, such as 0.02."""
    unit = float(10.0 ** math.floor(math.log10(share)))
    return math.floor(share / unit) * unit
