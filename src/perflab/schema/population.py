"""Who uses the application and how much: the facts that rows and query parameters share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from math import gcd
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from perflab.errors import ParameterError

Selectivity = Literal["light", "typical", "heavy"]
Ints = npt.NDArray[np.int64]

NOW = datetime(2025, 9, 1, 18, 0, tzinfo=UTC)
"""The moment at which the data was "taken". Statements get times as parameters, never now()."""
SIGN_UPS = NOW - timedelta(days=1095)
ACTIVITY = NOW - timedelta(days=730)
EVENTS = NOW - timedelta(days=180)
CHECK_INS = NOW - timedelta(days=365)
"""When sign-ups, content, kept analytics events and kept habit check-ins begin."""

_SKEW = 0.8
_LEVELS = 1000.0
HEAVY_SHARE = 0.01
TYPICAL_SHARE = 0.20
"""Users by rank of activity: the top hundredth is heavy, the next fifth typical, the rest light."""


class Population(msgspec.Struct, frozen=True, dict=True):
    """``users`` users whose activity is bounded Zipf; ``seed`` fixes everything else.

    Activity follows level^-0.8 over levels 1..1001, over which users spread evenly by rank, so
    that the shape is the same at every size: the busiest thousandth has about 67 times
    the mean, the median user half of it.
    """

    users: int
    seed: int = 42

    def __post_init__(self) -> None:
        if self.users < 10:
            raise ParameterError(f"users={self.users}: a population needs at least 10")
        if not 0 <= self.seed < 2**32:
            raise ParameterError(f"seed={self.seed}: must lie in 0 .. 2**32 - 1")

    def rng(self, *key: int) -> np.random.Generator:
        """A generator for one purpose; different keys give independent streams."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    # --- activity -----------------------------------------------------------------------

    def rank_to_user(self, rank: Ints) -> Ints:
        """User ids (1..users) of activity ranks (0 is the busiest)."""
        return scatter(rank, self.users, self.seed) + 1

    @cached_property
    def user_ranks(self) -> Ints:
        """Activity rank of each user; element 0 is user 1."""
        ranks = np.empty(self.users, np.int64)
        ranks[self.rank_to_user(np.arange(self.users)) - 1] = np.arange(self.users)
        return ranks

    @cached_property
    def activity(self) -> npt.NDArray[np.float64]:
        """Activity of each user relative to the mean; element 0 is user 1."""
        level = 1.0 + _LEVELS * np.arange(self.users + 1) / self.users
        integral = level ** (1.0 - _SKEW)
        share = np.diff(integral) / (integral[-1] - integral[0]) * self.users
        found: npt.NDArray[np.float64] = share[self.user_ranks]
        return found

    def draw_ranks(self, rng: np.random.Generator, size: int) -> Ints:
        """Activity ranks, each drawn in proportion to its activity (inverse of its CDF)."""
        bound = (1.0 + _LEVELS) ** (1.0 - _SKEW)
        level = (1.0 + rng.random(size) * (bound - 1.0)) ** (1.0 / (1.0 - _SKEW))
        rank = ((level - 1.0) / _LEVELS * self.users).astype(np.int64)
        bounded: Ints = np.minimum(rank, self.users - 1)
        return bounded

    def draw_users(self, rng: np.random.Generator, size: int) -> Ints:
        """User ids, each drawn in proportion to its activity."""
        return self.rank_to_user(self.draw_ranks(rng, size))

    def draw_user(self, rng: np.random.Generator) -> tuple[int, Selectivity]:
        """The user behind one request and how active that user is.

        Requests come in proportion to activity, as they would: about a fifth from heavy users.
        """
        rank = self.draw_ranks(rng, 1)
        share = float(rank[0]) / self.users
        label: Selectivity = (
            "heavy" if share < HEAVY_SHARE else "typical" if share < TYPICAL_SHARE else "light"
        )
        return int(self.rank_to_user(rank)[0]), label

    # --- sign-ups: ids in order of time, slowly accelerating ----------------------------

    def signed_up(self, user: Ints) -> Ints:
        """Microseconds (since 2000) at which users signed up."""
        share = (user - 0.5) / self.users
        return (us(SIGN_UPS) + share**0.75 * (us(NOW) - us(SIGN_UPS))).astype(np.int64)

    def users_by(self, at_us: Ints) -> Ints:
        """How many users (at least 1) had signed up at the given microseconds."""
        share = (at_us - us(SIGN_UPS)) / (us(NOW) - us(SIGN_UPS))
        return np.clip((share ** (1 / 0.75) * self.users).astype(np.int64), 1, self.users)

    # --- what a user owns: consecutive slots, scattered over ids ------------------------

    @cached_property
    def projects(self) -> Owned:
        """Who owns which project; 2 a user on average."""
        return Owned.share_out(2 * self.users, self.activity**0.5, self.seed + 1)

    @cached_property
    def habits(self) -> Owned:
        """Who owns which habit; 3 a user on average."""
        return Owned.share_out(3 * self.users, self.activity**0.3, self.seed + 2)

    @cached_property
    def habit_starts(self) -> Ints:
        """When each habit was taken up, in microseconds; element 0 belongs to id 1."""
        signed_up = self.signed_up(self.habits.owners)
        later = self.rng(100).random(len(signed_up)) ** 2
        starts: Ints = signed_up + (later * (us(NOW) - signed_up)).astype(np.int64)
        return starts


class Owned(msgspec.Struct, frozen=True, dict=True):
    """Things handed out to users: user u owns slots first[u-1] .. first[u]-1."""

    first: Ints
    scatter_seed: int

    @classmethod
    def share_out(cls, total: int, weight: npt.NDArray[np.float64], seed: int) -> Owned:
        """``total`` things in proportion to ``weight``, exact in sum (largest remainders)."""
        exact = weight * (total / weight.sum())
        count = np.floor(exact).astype(np.int64)
        left = total - int(count.sum())
        # stable: equal remainders must fall the same way on every machine
        count[np.argsort(count - exact, kind="stable")[:left]] += 1
        return cls(np.concatenate(([0], np.cumsum(count))), seed)

    @property
    def total(self) -> int:
        """How many things there are."""
        return int(self.first[-1])

    def count(self, user: Ints) -> Ints:
        """How many things each user owns."""
        counts: Ints = self.first[user] - self.first[user - 1]
        return counts

    def ids(self, slot: Ints) -> Ints:
        """The ids (1..total) of slots: scattered, since people do not create things in turn."""
        return scatter(slot, self.total, self.scatter_seed) + 1

    def pick(self, user: Ints, uniform: npt.NDArray[np.float64]) -> Ints:
        """The id of one thing of each user, or 0 for users who own none."""
        count = self.count(user)
        slot = self.first[user - 1] + (uniform * count).astype(np.int64)
        return np.where(count > 0, self.ids(np.minimum(slot, self.total - 1)), 0)

    @cached_property
    def owners(self) -> Ints:
        """The owner of each thing by id; element 0 belongs to id 1."""
        counts = np.diff(self.first)
        owner = np.empty(self.total, np.int64)
        owner[self.ids(np.arange(self.total)) - 1] = np.repeat(
            np.arange(1, len(counts) + 1), counts
        )
        return owner


class Draw(msgspec.Struct, frozen=True):
    """Parameters of one call and how much of the table they touch."""

    params: dict[str, Any]
    selectivity: Selectivity


def scatter(number: Ints, total: int, seed: int) -> Ints:
    """A fixed permutation of 0..total-1 without a table: n -> (a·n + b) mod total."""
    step = int(total * 0.6180339887) | 1
    while gcd(step, total) != 1:
        step += 2
    return (number * step + (seed * 7919 + 13) % total) % total


_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000


def us(at: datetime) -> int:
    """Microseconds since 2000-01-01 UTC: PostgreSQL's own timestamps."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def at(us_: int) -> datetime:
    """The inverse of :func:`us`."""
    return _EPOCH + timedelta(microseconds=us_)
