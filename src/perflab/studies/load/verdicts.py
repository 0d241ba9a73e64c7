"""The load's claims judged: which measurement each claim's id means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from perflab.load.scenarios import Times
from perflab.measure.claims import Claims
from perflab.measure.results import Origin, Result, from_estimate
from perflab.measure.statistics import exact
from perflab.report.not_run import NotRun
from perflab.studies.load.connections import Crowd
from perflab.studies.load.planned import AS_PLANNED, TIMES_WIDER, WIDENED, Trial

NOTEBOOK: Final = "06_load"


def judge_scenarios(claims: Claims, trials: Sequence[Trial], origin: Origin) -> list[Result]:
    """Users and rates of the plan's scenarios, under wide quotas; each says what the plan's own do.

    A rate is carried as far as the requests of the schedule are answered well within a second;
    that is counted, not estimated.
    """
    results = []
    for trial in (trial for trial in trials if trial.quotas == WIDENED):
        name, total = trial.part.name, trial.summary.total
        (planned,) = (t for t in trials if t.part is trial.part and t.quotas == AS_PLANNED)
        users, rate = f"load.{name}.users", f"load.{name}.rps"
        if users in claims:
            results.append(
                from_estimate(
                    origin,
                    exact(float(trial.run.scenario.users)),
                    n=total.requests,
                    claim=claims.get(users),
                    warnings=[
                        f"{trial.active_users} of them had their turn in"
                        f" {trial.run.seconds:g} s of random arrivals"
                    ],
                )
            )
        if rate in claims:
            results.append(
                from_estimate(
                    origin,
                    exact(trial.carried_per_s),
                    n=total.requests,
                    claim=claims.get(rate),
                    saturated=trial.void,
                    warnings=[
                        f"quotas widened to {TIMES_WIDER} times the plan's for this run",
                        *collision(planned),
                    ],
                )
            )
    return results


def judge_connections(claims: Claims, crowd: Crowd | NotRun, origin: Origin) -> list[Result]:
    """How many WebSocket connections were open at once and lost nothing."""
    id_ = "load.realtime.connections"
    if isinstance(crowd, NotRun) or id_ not in claims:
        return []
    total = crowd.summary.total
    warnings = {
        f"{total.missing:,} of {total.expected:,} deliveries did not come": total.missing,
        f"{total.duplicates:,} deliveries came twice": total.duplicates,
        "the hub ended before the load did": crowd.hub is None,
    }
    return [
        from_estimate(
            origin,
            exact(float(total.connections)),
            n=crowd.summary.connections,
            claim=claims.get(id_),
            warnings=[text for text, true in warnings.items() if true],
        )
    ]


def judge_counts(
    claims: Claims, trials: Sequence[Trial], crowd: Crowd | NotRun, origin: Origin
) -> list[Result]:
    """How many scenarios ran, and how many percentiles are told of each."""
    counts = {
        "load.scenarios.count": len({trial.part.name for trial in trials})
        + (not isinstance(crowd, NotRun)),
        "load.percentiles.count": len([f for f in Times.__struct_fields__ if f[1].isdigit()]),
    }
    return [
        from_estimate(origin, exact(float(count)), n=len(trials), claim=claims.get(id_))
        for id_, count in counts.items()
        if id_ in claims
    ]


def collision(planned: Trial) -> list[str]:
    """What the plan's own quota does to the scenario, if it does anything."""
    if planned.expected is None or not planned.expected.long_run:
        return []
    return [
        f"the plan's own quota, {quota_text(planned)}, refuses"
        f" {planned.expected.long_run:.1%} of these requests in the long run;"
        f" {planned.summary.total.refused_share:.1%} in the run with it,"
        f" {planned.expected.share:.1%} predicted"
    ]


def quota_text(trial: Trial) -> str:
    """The quota as people say it."""
    policy = trial.policy
    return f"{policy.limit:,} in {policy.period_s:g} s"
