"""What the tiers promise as tables and plots: lifetimes, room, stampedes, purges, outages."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from perflab.report import plots
from perflab.report.not_run import or_not_run
from perflab.report.tables import Column, Table, build
from perflab.studies.cache.ages import Ages
from perflab.studies.cache.capacity import Room
from perflab.studies.cache.outage import RECOVERY_S, Outage

_AT_ONCE_S = 0.05


def ages_table(ages: Ages) -> Table:
    """The oldest value served under each lifetime."""
    return build(
        ages.frame(),
        [
            Column("what", "lifetime of"),
            Column("ttl_s", "promised (s)", 1),
            Column("stale_s", "may be stale for (s)", 0),
            Column("factor", "time scaled by", 0),
            Column("oldest_s", "oldest value served (s)", 1),
        ],
        title="How old served values get",
        subtitle=f"{ages.served:,} answers. The age counts from when the load began. A policy that"
        " serves stale values while it refreshes them keeps its promise for fresh ones only.",
    )


@or_not_run
def room_table(room: Room) -> Table:
    """Entries that fit."""
    how = "set by the lab" if room.configured else "found, not changed"
    rows = [
        ("memory: entries kept of more that came", room.memory),
        ("Redis: entries found after all were written", room.redis),
        ("of these asked for through the tier", room.asked),
        ("answered", room.readable),
        ("bytes an entry takes on the server", round(room.bytes_per_entry)),
        ("bytes of a value on average", round(room.value_bytes)),
        (f"maxmemory in MiB ({how})", room.capacity.max_bytes >> 20),
        ("keys evicted since the server started", room.capacity.evicted),
    ]
    return build(
        pd.DataFrame(rows, columns=["what", "figure"]),
        [Column("what", "what"), Column("figure", "figure")],
        title="Room in memory and Redis",
        subtitle=f"Eviction: {room.capacity.policy}.",
    )


def stampede_table(stampede: pd.DataFrame) -> Table:
    """Loads caused by many misses at once."""
    return build(
        stampede,
        [
            Column("kind", "cache"),
            Column("processes", "processes"),
            Column("requests", "requests at once"),
            Column("answered", "answered"),
            Column("loads", "loader calls"),
            Column("slowest_ms", "slowest answer (ms)", 0),
        ],
        title=_stampede_finding(stampede),
        subtitle="Plain cache-aside: GET, on a miss load, then SET.",
    )


def _stampede_finding(stampede: pd.DataFrame) -> str:
    widest = stampede[stampede["processes"] == stampede["processes"].max()]
    loads = dict(zip(widest["kind"], widest["loads"], strict=True))
    requests = int(widest["requests"].iloc[0])
    told = ", ".join(f"{kind} {count:,}" for kind, count in loads.items())
    return f"{requests:,} requests miss one key at once; loader calls: {told}"


def races_table(races: pd.DataFrame) -> Table:
    """Old values that survived a purge."""
    return build(
        races,
        [
            Column("kind", "cache"),
            Column("races", "fills raced by a purge"),
            Column("survived", "old value served after it"),
        ],
        title="A fill that began before a purge",
        subtitle="Plain cache-aside: a purge is a DEL, and the slow fill writes after it.",
    )


def purges_table(purges: pd.DataFrame) -> Table:
    """How long a purge takes to be seen."""
    return build(
        purges,
        [
            Column("tier", "tier"),
            Column("purges", "purges"),
            Column("not_seen", "not seen in time"),
            Column("median", "median (ms)", 2, interval=True),
            Column("p95", "p95 (ms)", 2, interval=True),
            Column("longest", "longest (ms)", 2),
        ],
        title="From the call of invalidate until it is seen",
    )


@or_not_run
def outage_table(outage: Outage) -> Table:
    """What requests saw."""
    start, end = outage.away
    calls = outage.calls
    during = calls[(calls["at_s"] >= start) & (calls["at_s"] < end)]
    rows: list[tuple[str, object]] = [
        ("requests answered", len(calls)),
        ("requests failed", outage.failed),
        (
            f"answered by the {outage.stand_in} while {outage.subject} was away",
            int((during["kind"] == outage.stand_in).sum()),
        ),
        (f"{outage.subject} away for (s)", end - start),
        (f"answers again after (s); promised: {RECOVERY_S:g}", outage.recovered_s),
        ("slowest request (ms)", float(calls["ms"].max()) if len(calls) else None),
    ]
    return build(
        pd.DataFrame(rows, columns=["what", "figure"]),
        [Column("what", "what"), Column("figure", "figure")],
        title=f"{_sentence(outage.subject)} goes away under load",
        subtitle=f"{_sentence(outage.cause)}.",
    )


@or_not_run
def outage_plot(outage: Outage) -> Figure:
    """Requests over time by who answered."""
    told = "no request fails" if not outage.failed else f"{outage.failed} requests failed"
    if outage.recovered_s is None:
        back = "it was not seen again within the run"
    elif outage.recovered_s < _AT_ONCE_S:
        back = "it serves again at once"
    else:
        back = f"it serves again {outage.recovered_s:.1f} s after it is back"
    return plots.timeline(
        outage.calls,
        outages=[outage.away],
        title=f"While {outage.subject} is away {told}; {back}",
        y_label="time until answered (ms)",
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
