"""Who begins which flow when: drawn from the scenario's seed before the clock starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perflab.load.scenarios.arriving import due_times
from perflab.load.scenarios.scenario import Scenario

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """The part of a load that one of several workers makes: every ``of``-th user."""

    index: int = 0
    """From 0."""
    of: int = 1
    """How many there are."""

    def users(self, count: int) -> range:
        """The numbers of its users, of ``count`` in all."""
        return range(self.index, count, self.of)


WHOLE: Final = Segment()


@dataclass(frozen=True)
class Schedule:
    """Parallel columns of shape ``(n,)``: when a flow begins, which, and of which user."""

    due_s: Floats
    flow: Numbers
    user: Numbers
    rows: Numbers
    """Which row each feeder gives to it; shape ``(n, feeders)``."""

    def part(self, segment: Segment) -> Schedule:
        """The flows of a segment's users; all segments together hold each flow once."""
        own = self.user % segment.of == segment.index
        return Schedule(self.due_s[own], self.flow[own], self.user[own], self.rows[own])


def schedule_of(scenario: Scenario) -> Schedule:
    """The beginnings of flows in an open scenario, the same for the same seed.

    The rate is one of requests: flows begin at it, divided by the mean number of requests in one.
    """
    per_flow = float(np.dot(shares(scenario), [len(flow.steps) for flow in scenario.flows]))
    due_s = due_times(scenario.arrival, scenario.duration_s, scenario.seed, 1 / per_flow)
    rng = generator(scenario)
    flow = rng.choice(len(scenario.flows), size=len(due_s), p=shares(scenario))
    user = rng.integers(scenario.users, size=len(due_s))
    rows = np.empty((len(due_s), len(scenario.feeders)), dtype=np.int64)
    for number, feeder in enumerate(scenario.feeders):
        match feeder.pick:
            case "user":
                rows[:, number] = user
            case "turn":
                rows[:, number] = np.arange(len(due_s)) % len(feeder.rows)
            case _:
                rows[:, number] = rng.integers(len(feeder.rows), size=len(due_s))
    return Schedule(due_s, flow, user, rows)


def shares(scenario: Scenario) -> Floats:
    """The share of each flow."""
    weights = np.array([flow.weight for flow in scenario.flows])
    return np.asarray(weights / weights.sum())


def generator(scenario: Scenario, segment: Segment = WHOLE) -> np.random.Generator:
    """For everything that is drawn but the arrivals, which take the seed itself."""
    return np.random.default_rng([scenario.seed, 1, segment.index])
