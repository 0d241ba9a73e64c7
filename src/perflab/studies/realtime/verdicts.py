"""The claims about real time judged: which measurement each claim's id means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd

from perflab.measure.claims import Claims
from perflab.measure.comparison import Comparison
from perflab.measure.results import Origin, Result, from_comparison, from_estimate
from perflab.measure.statistics import Estimate, exact
from perflab.realtime.client import ClientSettings
from perflab.realtime.hub import HubSettings
from perflab.studies.promised import judged_frame
from perflab.studies.realtime.thousand import Thousand

NOTEBOOK: Final = "05_realtime"
PLAN_TABLE: Final = "Real-time Connection Performance"
POOLING: Final = "impact.realtime.improvement"

ONE_KILL: Final = "one kill of one hub: the interval is about its clients, not about other kills"


def judge(
    claims: Claims,
    thousand: Thousand,
    pooling: Comparison,
    origin: Origin,
    warnings: Sequence[str] = (),
) -> list[Result]:
    """The plan's figures. A load whose publisher was late is void."""
    plan, killed = thousand.plan, thousand.killed
    late = plan.late
    clients, blocks = len(killed.reconnect_s), 24
    measured: dict[str, tuple[Estimate, int, bool]] = {
        "realtime.connections.count": (exact(float(thousand.ramp.connections)), 1, False),
        "realtime.latency.target": (plan.quantile("normal", 0.95), blocks, late),
        "realtime.latency.mean": (plan.mean("normal"), blocks, late),
        "realtime.reconnect.target": (killed.p95_s, clients, False),
        "realtime.reconnect.mean": (killed.mean_s, clients, False),
        "realtime.throughput.target": (plan.per_min, blocks, late),
        "realtime.throughput.achieved": (plan.per_min, blocks, late),
    }
    judged = [
        from_estimate(
            origin,
            estimate,
            n=n,
            claim=claims.get(id_),
            saturated=saturated,
            warnings=[*warnings, ONE_KILL] if id_.startswith("realtime.reconnect") else warnings,
        )
        for id_, (estimate, n, saturated) in measured.items()
        if id_ in claims
    ]
    if POOLING in claims:
        judged.append(
            from_comparison(origin, pooling, claim=claims.get(POOLING), warnings=warnings)
        )
    return judged


def judge_settings(claims: Claims, origin: Origin) -> list[Result]:
    """The plan's configuration, held against the defaults that everything here ran with."""
    hub, client = HubSettings(), ClientSettings()
    figures = {
        "realtime.heartbeat.interval": hub.heartbeat_s,
        "realtime.reconnect.attempts": float(client.attempts),
        "realtime.queue.size": float(hub.queue_limit),
        "realtime.batch.size": float(hub.batch_most),
        "realtime.batch.interval": hub.batch_interval_s,
    }
    return [
        from_estimate(origin, exact(figure), n=1, claim=claims.get(id_))
        for id_, figure in figures.items()
        if id_ in claims
    ]


def plan_frame(results: Sequence[Result], claims: Claims) -> pd.DataFrame:
    """The plan's table of real time, claimed beside measured."""
    ids = [c.id for c in claims.of(notebook=NOTEBOOK) if c.table == PLAN_TABLE]
    return judged_frame(results, claims, ids)


def verdict_frame(results: Sequence[Result], claims: Claims) -> pd.DataFrame:
    """Every claim of this notebook."""
    return judged_frame(results, claims, [c.id for c in claims.of(notebook=NOTEBOOK)])
