"""Who begins which flow when: drawn from the scenario's seed before the clock starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perflab.load import arrivals
from perflab.load.scenarios import file as written
from perflab.load.scenarios.scenario import Scenario

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Schedule:
    """Parallel columns of shape ``(n,)``: when a flow begins, which, and of which user."""

    due_s: Floats
    flow: Numbers
    user: Numbers


def schedule_of(scenario: Scenario) -> Schedule:
    """The beginnings of flows in an open scenario, the same for the same seed.

    The rate is one of requests: flows begin at it, divided by the mean number of requests in one.
    """
    per_flow = float(np.dot(shares(scenario), [len(flow.steps) for flow in scenario.flows]))
    due_s = _due(scenario, 1 / per_flow)
    rng = generator(scenario)
    return Schedule(
        due_s,
        rng.choice(len(scenario.flows), size=len(due_s), p=shares(scenario)),
        rng.integers(scenario.users, size=len(due_s)),
    )


def shares(scenario: Scenario) -> Floats:
    """The share of each flow."""
    weights = np.array([flow.weight for flow in scenario.flows])
    return np.asarray(weights / weights.sum())


def generator(scenario: Scenario) -> np.random.Generator:
    """For everything that is drawn but the arrivals, which take the seed itself."""
    return np.random.default_rng([scenario.seed, 1])


def _due(scenario: Scenario, factor: float) -> Floats:
    arrival, seconds, seed = scenario.arrival, scenario.duration_s, scenario.seed
    match arrival:
        case written.Constant():
            return arrivals.constant(arrival.rate_per_s * factor, seconds=seconds)
        case written.Poisson():
            return arrivals.poisson(arrival.rate_per_s * factor, seed=seed, seconds=seconds)
        case written.Ramp():
            ends = arrival.from_per_s * factor, arrival.to_per_s * factor
            return arrivals.ramp(*ends, seconds=seconds, seed=_seed(arrival, seed))
        case written.Step():
            rates = [rate * factor for rate in arrival.rates_per_s]
            return arrivals.steps(rates, step_s=seconds / len(rates), seed=_seed(arrival, seed))
        case written.Spike():
            return arrivals.spike(
                arrival.base_per_s * factor,
                arrival.peak_per_s * factor,
                seconds=seconds,
                at_s=arrival.at_s,
                spike_s=arrival.spike_s,
                seed=_seed(arrival, seed),
            )
        case written.Closed():
            return np.empty(0)


def _seed(arrival: written.Ramp | written.Step | written.Spike, seed: int) -> int | None:
    return seed if arrival.spacing == "poisson" else None
