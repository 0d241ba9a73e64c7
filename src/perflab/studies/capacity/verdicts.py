"""The claims about capacity: what was measured and what was extrapolated, apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import pandas as pd

from perflab.capacity.scalability import NotFitted
from perflab.measure.claims import Claims
from perflab.measure.results import Origin, Result, from_estimate
from perflab.measure.statistics import Interval, NotEstimable, exact
from perflab.studies.capacity.crowds import Crowds
from perflab.studies.capacity.ladder import Ladder
from perflab.studies.promised import judged_frame

NOTEBOOK: Final = "07_capacity"
USERS: Final = "capacity.users.concurrent"
RPS: Final = "api.all.rps"
"""Judged by 04_api, on cached reads; shown here for a mix with writes and p95 kept."""


def judge(claims: Claims, crowds: Crowds, origin: Origin) -> list[Result]:
    """The users that were really there are judged; what is extrapolated is kept, and is not."""
    results = []
    if USERS in claims:
        claim = claims.get(USERS)
        estimate = crowds.users(claim.target)
        results.append(
            from_estimate(
                origin,
                estimate,
                n=sum(len(crowd.rung.good) for crowd in crowds.measured),
                blocks=len(crowds.measured),
                claim=claim,
                saturated=bool(crowds.measured) and not crowds.usable,
                warnings=[
                    f"on one core; a user pauses for {crowds.people.think_s:g} s; p95 at most"
                    f" {crowds.promised_ms:g} ms",
                    crowds.beyond,
                ],
            )
        )
    if not isinstance(crowds.core_users, NotFitted):
        results.append(
            from_estimate(
                origin,
                exact(float(crowds.core_users)),
                n=1,
                name="capacity.users.extrapolated",
                unit="users",
                warnings=["simulated, not measured"],
            )
        )
    return results


def rows_frame(
    claims: Claims, crowds: Crowds, ladder: Ladder, core: Interval | NotEstimable
) -> pd.DataFrame:
    """The plan's "10,000+ users" and "1,000+ RPS": promised, measured, extrapolated."""
    rows = []
    if USERS in claims:
        claim = claims.get(USERS)
        cores = crowds.cores
        rows.append(
            {
                "what": claim.wording,
                "promise": claim.promise,
                "measured": f"{crowds.held:,} users on one core"
                if crowds.held
                else "no number of users was seen to hold",
                "extrapolated": f"not possible: {cores.reason}"
                if isinstance(cores, NotFitted)
                else f"{crowds.core_users:,} users on one core; {cores} core(s) for"
                f" {crowds.wanted:,}",
            }
        )
    if RPS in claims:
        claim = claims.get(RPS)
        peak_users, peak = ladder.peak
        held = "none" if isinstance(core, NotEstimable) else f"{core.lo:,.0f}/s"
        rows.append(
            {
                "what": claim.wording,
                "promise": claim.promise,
                "measured": f"{peak:,.0f}/s at most on one core ({peak_users} users);"
                f" p95 kept up to: {held}",
                "extrapolated": "not possible: p95 was kept at no rate"
                if isinstance(core, NotEstimable)
                else f"{math.ceil(claim.target / core.lo)} core(s) for {claim.target:,.0f}/s with"
                " p95 kept",
            }
        )
    return pd.DataFrame(rows, columns=["what", "promise", "measured", "extrapolated"])


def verdict_frame(results: Sequence[Result], claims: Claims) -> pd.DataFrame:
    """Every claim of this notebook."""
    return judged_frame(results, claims, [c.id for c in claims.of(notebook=NOTEBOOK)])
