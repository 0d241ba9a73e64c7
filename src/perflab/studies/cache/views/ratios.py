"""Hit ratios as tables and plots: measured, in virtual time and by formula; policies; staleness."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from perflab.cache.ledger import PolicyStats
from perflab.profiles import CacheSizes
from perflab.report import plots
from perflab.report.tables import Column, Table, build
from perflab.studies.cache.policies import BEST, CHE, PolicyCurves
from perflab.studies.cache.tiers import MEMORY_ENTRIES, PLAN_RPS, TierRun
from perflab.studies.cache.workload import MEDIAN_VALUE_BYTES, TWITTER_ALPHAS, Workload

FOREVER = "no rate is enough"


def workload_table(workload: Workload, sizes: CacheSizes) -> Table:
    """Who asks for what, and how fast."""
    low, median, high = TWITTER_ALPHAS
    rows = [("requests", workload.title)]
    if workload.synthetic:
        rows += [
            ("different keys", f"{workload.keys:,}"),
            ("skew (Zipf's alpha)", f"{workload.alpha:g}; Twitter's caches: {median:g}"
             f" (quartiles {low:g} and {high:g})"),
        ]  # fmt: skip
    rows += [
        ("value sizes", f"log-normal, median {MEDIAN_VALUE_BYTES} bytes as in Twitter's caches"),
        ("requests/s for memory's claim", f"{PLAN_RPS:,.0f}, all at one process"),
        ("requests/s for the other claims", f"{sizes.rate_rps:,.0f}"),
        ("entries in memory", f"{MEMORY_ENTRIES:,}"),
        ("arrivals", "Poisson, open: nobody waits for an earlier answer"),
    ]
    return build(
        pd.DataFrame(rows, columns=["what", "how"]),
        [Column("what", "what"), Column("how", "how")],
        title="The workload",
    )


def hits_table(frame: pd.DataFrame) -> Table:
    """Each tier's ratio: measured, in virtual time, by formula, and while cold."""
    return build(
        frame,
        [
            Column("what", "hits"),
            Column("rate_rps", "requests/s imitated", 0),
            Column("factor", "time scaled by", 0),
            Column("measured", "measured (%)", 1, interval=True),
            Column("virtual", "unscaled, virtual time (%)", 1),
            Column("predicted", "by formula (%)", 1),
            Column("cold", "while cold (%)", 1),
            Column("late", "sent late (%)", 1),
        ],
        title="Hit ratios on the real tiers",
        subtitle="Intervals over the windows after the cold start. More than 5 % sent late: the"
        " generator was the limit, and the verdict is void.",
    )


def rates_plot(rates: pd.DataFrame) -> Figure:
    """Hit ratios against the request rate."""
    memory = rates[rates["series"] == "memory, formula"].set_index("rate_rps")["percent"]
    at_plan = memory.iloc[(memory.index - PLAN_RPS).to_series().abs().argmin()]
    return plots.curves(
        rates,
        x="rate_rps",
        y="percent",
        hue="series",
        log="x",
        title=f"300 ms in memory give {at_plan:.0f} % at the plan's rate: the rate decides",
        x_label="requests per second that one process sees",
        y_label="hits (% of all requests)",
        reference=95,
        reference_label="95 %",
        predicted={f"{tier}, formula": f"{tier}, virtual time" for tier in ("memory", "combined")},
    )


def needed_table(needed: pd.DataFrame) -> Table:
    """What the claims would need."""
    shown = needed.assign(
        **{c: [_rate(rate) for rate in needed[c]] for c in ("memory_needs", "combined_needs")}
    )
    return build(
        shown,
        [
            Column("skew", "skew"),
            Column("memory", "memory at the plan's rate (%)", 1),
            Column("combined", "combined at the plan's rate (%)", 1),
            Column("memory_needs", "requests/s for memory's claim"),
            Column("combined_needs", "requests/s for the combined claim"),
        ],
        title=f"By formula: what {PLAN_RPS:,.0f} requests/s give, and what the claims need",
    )


def _rate(rate: float) -> str:
    if rate == float("inf"):
        return FOREVER
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def ledger_table(run: TierRun) -> Table:
    """The whole run's ledger, tier by tier: the figures add up, or the title says so."""
    stats = run.ledger.total
    wrong = stats.imbalances()
    return build(
        _ledger_frame(stats),
        [
            Column("tier", "tier"),
            Column("arrived", "arrived"),
            Column("coalesced", "joined a load"),
            Column("bypassed", "passed by"),
            Column("lookups", "lookups"),
            Column("hits", "hits"),
            Column("stale_hits", "stale hits"),
            Column("misses", "misses"),
            Column("local", "of its lookups (%)", 1),
            Column("whole", "of all requests (%)", 1),
        ],
        title="The ledger does not add up: " + "; ".join(wrong)
        if wrong
        else f"The ledger of {stats.requests:,} requests adds up",
        subtitle="Each tier: hits + stale hits + misses = lookups; lookups = arrived - joined a"
        " load - passed by; what missed or was passed by arrives at the next."
        f" Background refreshes apart: {stats.background.refreshes:,}.",
    )


def _ledger_frame(stats: PolicyStats) -> pd.DataFrame:
    rows = []
    arrived = stats.requests
    for name in ("memory", "redis", "loader"):
        tier = stats.tier(name)
        rows.append(
            {
                "tier": name,
                "arrived": arrived,
                "coalesced": tier.coalesced,
                "bypassed": tier.bypassed,
                "lookups": tier.lookups,
                "hits": tier.hits,
                "stale_hits": tier.stale_hits,
                "misses": tier.misses,
                "local": 100 * tier.hit_ratio,
                "whole": 100 * stats.global_ratio(name),
            }
        )
        arrived = tier.misses + tier.bypassed
    return pd.DataFrame(rows)


def policies_plot(curves: PolicyCurves) -> Figure:
    """Miss ratio against size."""
    return plots.curves(
        curves.frame(),
        x="size",
        y="miss",
        hue="policy",
        log="x",
        title=_policies_finding(curves),
        x_label="entries that fit",
        y_label="misses (% of requests)",
        predicted={CHE: "LRU"},
    )


def _policies_finding(curves: PolicyCurves) -> str:
    """At the size where the policies lie furthest apart, the best one and the worst."""
    real = curves.frame()
    by_size = real[real["policy"].isin(curves.real)].pivot_table(
        index="size", columns="policy", values="miss"
    )
    apart = (by_size.max(axis="columns") - by_size.min(axis="columns")).to_numpy()
    widest = int(apart.argmax())
    at = by_size.iloc[widest]
    return (
        f"With {by_size.index[widest]:,} entries {at.idxmin()} misses {at.min():.0f} % and"
        f" {at.idxmax()} {at.max():.0f} %"
    )


def policies_table(curves: PolicyCurves) -> Table:
    """The same figures, one column a policy."""
    frame = curves.frame()
    wide = frame.pivot_table(index="size", columns="policy", values="miss", sort=False)
    names = [BEST, *(name for name in wide.columns if name != BEST)]
    found = curves.curves
    exact = "exact" if found.exact else f"on {100 * found.rate:.2g} % of the keys (SHARDS)"
    error = "" if found.exact else f", ± {_widest(frame):.1f} points at most"
    reading = curves.reading_sentence
    left_out = "; left out: " + ", ".join(curves.left_out) if curves.left_out else ""
    return build(
        wide.reset_index(),
        [Column("size", "entries"), *(Column(name, f"{name} (%)", 1) for name in names)],
        title=f"Misses on {curves.title}",
        subtitle=f"{found.accesses:,} requests for {found.keys:,} keys, {exact}{error}{left_out}."
        f"{reading}",
    )


def _widest(frame: pd.DataFrame) -> float:
    return float(((frame["miss_hi"] - frame["miss_lo"]) / 2).max())


def staleness_table(staleness: pd.DataFrame) -> Table:
    """Hits and stale answers of each rule."""
    return build(
        staleness,
        [
            Column("rule", "rule"),
            Column("hit_percent", "hits (%)", 1),
            Column("stale_percent", "stale answers (%)", 2),
            Column("oldest_s", "longest stale (s)", 0),
        ],
        title="What “intelligent” can mean: the same reads and writes under four rules",
        subtitle="In virtual time; the writes are assumed (log-normal rates, the median key once in"
        " half an hour), and drawn once: how often the most popular keys are written decides much.",
    )
