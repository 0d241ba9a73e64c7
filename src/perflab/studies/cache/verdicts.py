"""The cache's claims judged: which measurement each claim's id means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd

from perflab.measure.claims import Claims
from perflab.measure.comparison import Comparison
from perflab.measure.results import Origin, Result, from_comparison, from_estimate
from perflab.measure.statistics import exact
from perflab.report.not_run import NotRun
from perflab.studies.cache.ages import Ages
from perflab.studies.cache.capacity import Room
from perflab.studies.cache.edge import EdgeLatencies, EdgeRun
from perflab.studies.cache.latency import Latencies
from perflab.studies.cache.tiers import TierRun, combined_ratio, memory_ratio, redis_ratio
from perflab.studies.promised import judged_frame

NOTEBOOK: Final = "03_cache"
PLAN_TABLE: Final = "Caching Performance Metrics"
EDGE_HITS: Final = "cache.edge.hit_ratio"


def judge_hits(
    claims: Claims,
    memory: TierRun,
    tiers: TierRun,
    edge: EdgeRun | NotRun,
    origin: Origin,
    warnings: Sequence[str] = (),
) -> list[Result]:
    """The claimed hit ratios; one that the generator spoilt is void.

    The plan names no request rate, so each result carries the one that it was measured at.
    """
    measured = {
        "cache.memory.hit_ratio": (memory, memory.percent(memory_ratio)),
        "cache.redis.hit_ratio": (tiers, tiers.percent(redis_ratio)),
        "cache.combined.hit_ratio": (tiers, tiers.percent(combined_ratio)),
        "cache.service.hit_ratio": (tiers, tiers.percent(combined_ratio)),
    }
    judged = [
        from_estimate(
            origin,
            estimate,
            n=len(run.warm),
            claim=claims.get(id_),
            saturated=run.drive.saturated,
            warnings=[*warnings, _rate(run.rate_rps)],
        )
        for id_, (run, estimate) in measured.items()
        if id_ in claims
    ]
    if not isinstance(edge, NotRun) and EDGE_HITS in claims:
        judged.append(
            from_estimate(
                origin,
                edge.percent,
                n=len(edge.hits),
                claim=claims.get(EDGE_HITS),
                saturated=edge.saturated,
                warnings=[*warnings, _rate(edge.rate_rps)],
            )
        )
    return judged


def _rate(rate_rps: float) -> str:
    return f"the plan names no request rate; this was measured at {rate_rps:,g} requests/s"


def judge_latency(
    claims: Claims,
    cached: Latencies,
    from_scratch: Latencies,
    edge: EdgeLatencies | NotRun,
    origin: Origin,
    warnings: Sequence[str] = (),
) -> list[Result]:
    """The claimed latencies of a cache in front of an indexed database, and what indexes and
    cache make together of one without either."""
    about: Mapping[str, Comparison | None] = {
        "cache.memory.latency": cached.by_state.get("memory"),
        "cache.redis.latency": cached.by_state.get("Redis"),
        "cache.combined.latency": cached.overall,
        "cache.cached.latency": cached.cached,
        "cache.edge.latency": None if isinstance(edge, NotRun) else edge.overall,
        "database.cached.improvement": from_scratch.overall,
    }
    return [
        from_comparison(origin, comparison, claim=claims.get(id_), warnings=warnings)
        for id_, comparison in about.items()
        if id_ in claims and comparison is not None
    ]


def judge_promises(
    claims: Claims, ages: Ages, room: Room | NotRun, edge: EdgeRun | NotRun, origin: Origin
) -> list[Result]:
    """The claims about lifetimes, room and the number of tiers: counts and longest times."""
    figures = {**ages.by_claim, "cache.memory.ttl": ages.local_s}
    numbers = dict.fromkeys(figures, ages.served)
    figures["cache.tiers.count"] = 2.0 if isinstance(edge, NotRun) else 3.0
    if not isinstance(room, NotRun):
        figures["cache.memory.capacity"] = float(room.memory)
        figures["cache.redis.capacity"] = float(room.redis)
    return [
        from_estimate(origin, exact(figure), n=numbers.get(id_, 1), claim=claims.get(id_))
        for id_, figure in figures.items()
        if id_ in claims
    ]


def plan_frame(results: Sequence[Result], claims: Claims) -> pd.DataFrame:
    """The plan's table of caches, claimed beside measured; figures not measured are left open."""
    return judged_frame(
        results, claims, [c.id for c in claims.of(notebook=NOTEBOOK) if c.table == PLAN_TABLE]
    )


def verdict_frame(results: Sequence[Result], claims: Claims) -> pd.DataFrame:
    """Every claim of this notebook."""
    return judged_frame(results, claims, [c.id for c in claims.of(notebook=NOTEBOOK)])
