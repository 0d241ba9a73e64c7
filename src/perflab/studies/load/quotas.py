"""How many requests a quota refuses: predicted from the schedule, before anything is sent."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perflab.load.arrivals import poisson
from perflab.ratelimit import Policy

SETTLED: Final = 2
"""Periods after which a sliding log is in its steady state: it remembers one."""
LONG_RUN: Final = 20
"""Periods over which the share in the long run is taken."""


class SlidingLog:
    """At most ``limit`` requests of a user in any ``period_s`` seconds; a refused one is free.

    Written apart from the limiter on purpose: what predicts must not share its mistakes.
    """

    def __init__(self, policy: Policy) -> None:
        self._limit = policy.limit
        self._period_s = policy.period_s
        self._granted: dict[int, deque[float]] = {}

    def grants(self, user: int, at_s: float) -> bool:
        """Whether the user's request at this time, not before any earlier one, is granted."""
        granted = self._granted.setdefault(user, deque())
        while granted and granted[0] <= at_s - self._period_s:
            granted.popleft()
        if len(granted) >= self._limit:
            return False
        granted.append(at_s)
        return True

    def follow(self, due_s: NDArray[np.float64], user: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these requests are granted; times are ascending."""
        asked = zip(user.tolist(), due_s.tolist(), strict=True)
        return np.array([self.grants(who, at) for who, at in asked], dtype=np.bool_)

    def remembered(self) -> list[tuple[float, int]]:
        """When each user's requests were granted, in order of time; lapsed ones may be among."""
        return sorted((at, user) for user, times in self._granted.items() for at in times)


class Past:
    """What a load that has been going on for long has left in a quota's memory.

    Poisson arrivals, each of a user drawn by chance. Each user's past begins at a moment of its
    own: users who all began at once would spend their quotas, and get them back, in step for
    hours.

    Args:
        policy: a sliding log, kept for each user.
        users: how many there are.
        rate_per_s: of all of them together.
        seed: of the past.
    """

    def __init__(self, policy: Policy, *, users: int, rate_per_s: float, seed: int) -> None:
        length = LONG_RUN * policy.period_s
        due_s = poisson(rate_per_s, seed=seed, seconds=length) - length
        rng = np.random.default_rng([seed, 3])
        user = rng.integers(users, size=len(due_s))
        begun = due_s >= (rng.uniform(0, policy.period_s, users) - length)[user]
        due_s, user = due_s[begun], user[begun]
        self._log = SlidingLog(policy)
        granted = self._log.follow(due_s, user)
        self.granted = tuple(
            (at, who) for at, who in self._log.remembered() if at > -policy.period_s
        )
        """Seconds, below 0, and users of the granted requests that still count at time 0."""
        self.refused_share = 1 - float(granted[due_s >= SETTLED * policy.period_s - length].mean())
        """Of its requests, once it had settled."""

    def refused_after(self, due_s: NDArray[np.float64], user: NDArray[np.int64]) -> float:
        """The share that is refused of requests that come after it, ascending; ask only once."""
        return 1 - float(self._log.follow(due_s, user).mean())
