"""From people to requests a second, by Little's law: N = X·(R + Z)."""

from __future__ import annotations

from typing import Final

import msgspec

from perflab.arguments import check_number
from perflab.capacity.arguments import not_negative, positive
from perflab.capacity.errors import CapacityError

_DAY_S: Final = 86_400.0


class People(msgspec.Struct, frozen=True, kw_only=True):
    """Who comes in a day, and what they do while they are there."""

    daily_users: float
    sessions_per_user: float = 2.0
    """Sessions of one user in a day."""
    session_s: float = 600.0
    """How long a session lasts."""
    think_s: float = 10.0
    """Pause between an answer and the same user's next request."""
    busiest: float = 3.0
    """How much more people are there in the busiest hour than on the day's average."""

    def __post_init__(self) -> None:
        """Raise a CapacityError for what no day is like."""
        for name in ("daily_users", "sessions_per_user", "session_s", "think_s"):
            positive(name, getattr(self, name))
        check_number("busiest", self.busiest, CapacityError, least=1)

    @property
    def concurrent(self) -> float:
        """People who are there at once in the busiest hour: sessions a second times their length.

        Never more than there are in the whole day.
        """
        started_per_s = self.daily_users * self.sessions_per_user / _DAY_S
        return min(self.daily_users, self.busiest * started_per_s * self.session_s)

    def arrival_rps(self, response_s: float = 0.0) -> float:
        """Requests a second in the busiest hour, at a mean response time."""
        return arrival_rps(self.concurrent, self.think_s, response_s)


def arrival_rps(users: float, think_s: float, response_s: float = 0.0) -> float:
    """X = N/(R + Z): what so many users ask for a second."""
    positive("users", users)
    cycle = not_negative("think_s", think_s) + not_negative("response_s", response_s)
    return users / positive("think_s + response_s", cycle)


def users_of(rps: float, think_s: float, response_s: float = 0.0) -> float:
    """N = X·(R + Z): how many users ask for so much."""
    cycle = not_negative("think_s", think_s) + not_negative("response_s", response_s)
    return positive("rps", rps) * cycle
