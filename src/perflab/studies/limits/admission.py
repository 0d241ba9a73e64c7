"""What each algorithm admits around the boundary of two windows, against what it promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflab.ratelimit import AUTH, Policy
from perflab.ratelimit.policies import US, Algorithm
from perflab.services import Redis
from perflab.studies.limits.lapse import boundary_us, decide_at, each_algorithm, own_limiter
from perflab.studies.loops import in_own_loop

Times = NDArray[np.int64]
"""Microseconds, ascending."""

AT_ONCE_S: Final = 2.0
"""What counts as at once: both sides of the boundary, and nothing after."""
PERIODS: Final = 2
"""How long the client goes on after the boundary."""
TRIES: Final = 10
"""A client that goes on asks so many times as often as it may."""


@dataclass(frozen=True)
class Admission:
    """What one client got out of the same requests under each algorithm."""

    policies: tuple[Policy, ...]
    asked: int
    """Requests under each."""
    admitted: Mapping[Algorithm, Times]
    """When one was admitted, from the boundary on; what came before is negative."""

    def frame(self) -> pd.DataFrame:
        """One row an algorithm: the promised and the measured worst, in units."""
        return pd.DataFrame(
            [
                {
                    "algorithm": policy.algorithm,
                    "limit": policy.limit,
                    "promised": policy.worst_case,
                    "window": most_within(self.admitted[policy.algorithm], policy.period_us),
                    "at_once": most_within(self.admitted[policy.algorithm], round(AT_ONCE_S * US)),
                    "admitted": len(self.admitted[policy.algorithm]),
                    "asked": self.asked,
                }
                for policy in self.policies
            ]
        )

    def curves(self) -> pd.DataFrame:
        """How many were admitted within the last period: algorithm, minutes, units."""
        parts = []
        for policy in self.policies:
            times = self.admitted[policy.algorithm]
            # a unit counts from its admission until one period later
            moments = np.concatenate([times, times + policy.period_us])
            change = np.repeat([1, -1], len(times))
            order = np.argsort(moments, kind="stable")
            part = pd.DataFrame(
                {
                    "algorithm": policy.algorithm,
                    "minutes": moments[order] / US / 60,
                    "units": np.cumsum(change[order]),
                }
            )
            # of several changes at one moment only the last one lasts
            part = part.drop_duplicates("minutes", keep="last")
            parts.append(part[part["minutes"] <= PERIODS * policy.period_s / 60])
        return pd.concat(parts, ignore_index=True)


def measure_admission(redis: Redis, policy: Policy = AUTH) -> Admission:
    """The quota of ``policy`` under every algorithm, and a client that makes the most of it.

    It uses the whole limit a second before the boundary of two aligned windows, asks for as much
    again right after it, and then goes on. That is the worst case of all four (FACTS: fixed window
    at once, sliding counter while the old window fades, GCRA while its burst flows in again).

    Returns the ``Admission`` for ``admission_table`` and ``admission_plot``. Time lapse.
    """
    return in_own_loop(_measure(redis, policy))


async def _measure(redis: Redis, policy: Policy) -> Admission:
    policies = each_algorithm(policy.limit, policy.period_s)
    boundary = boundary_us(policy.period_s)
    offsets = boundary_burst_us(policy)
    asked = [boundary + offset for offset in offsets]
    admitted: dict[Algorithm, Times] = {}
    async with own_limiter(redis, policies) as limiter:
        for one in policies:
            passed = await decide_at(limiter, one.name, asked)
            admitted[one.algorithm] = np.array(offsets, np.int64)[np.array(passed)]
    return Admission(policies, len(asked), admitted)


def boundary_burst_us(policy: Policy) -> list[int]:
    """When the client asks, in microseconds from the boundary."""
    pause = policy.period_us // (TRIES * policy.limit)
    return [
        *[-US] * policy.limit,
        *[0] * policy.limit,
        *range(pause, PERIODS * policy.period_us + 1, pause),
    ]


def most_within(times: Times, length_us: int) -> int:
    """The most units in any half-open window of this length."""
    if not len(times):
        return 0
    ends = np.searchsorted(times, times + length_us, side="left")
    return int((ends - np.arange(len(times))).max())
