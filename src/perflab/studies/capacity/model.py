"""The measured system as one station of a simulation, and what that says of loads not measured.

Its rates are the measured rungs and what lies between them, its work spreads as the service times
of one user do. Of several ways of sharing the station (how many are served at once, how far cheap
requests are favoured) the one is taken with which p95 of the measured rungs comes out best.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perflab.capacity.queues import (
    EVERYBODY,
    Simulated,
    Station,
    simulate_closed,
    simulate_due,
    simulate_open,
)
from perflab.capacity.scalability import NotFitted
from perflab.measure.statistics import Estimate, NotEstimable
from perflab.studies.capacity.ladder import Ladder

Floats = NDArray[np.float64]

SHARING: Final = (
    *((slots, 0.0) for slots in (1, 2, 4, 8, 16)),
    *((EVERYBODY, favour) for favour in (0.0, 0.1, 0.2, 0.3)),
)
"""Slots, and what is favoured in them: dear requests come back to the event loop several times and
wait there for the others, so that they slow down more than cheap ones do."""
_CALIBRATED_S: Final = 1.5
_WARM_SHARE: Final = 0.25
_LEAST_RPS: Final = 1e-3
_USUAL: Final = 0.99
"""The dearest hundredth of the requests is taken to be as dear as the 99th percentile: a request
during which the machine was elsewhere would otherwise stand for work that is done every time."""


@dataclass(frozen=True)
class Model:
    """A station that stands in for the system."""

    station: Station
    misfit: float
    """How far its p95 is from that of the measured rungs: a factor, as its typical |logarithm|."""
    seconds: float
    """Of one simulation."""
    seed: int

    def open(self, rate_rps: float) -> Simulated:
        """Arrivals at a rate."""
        return simulate_open(
            self.station,
            rate_rps,
            seconds=self.seconds,
            warm_s=_WARM_SHARE * self.seconds,
            seed=self.seed,
        )

    def due(self, due_s: Floats, seed: int) -> Floats:
        """What each of a schedule's requests takes at a station that is idle before, seconds."""
        return simulate_due(self.station, due_s, seed=seed)

    def closed(self, users: int, think_s: float, *, pauses: float = 3.0) -> Simulated:
        """A number of users; where they are too many, a line grows for so many pauses first."""
        overloaded = users > self.station.rates_rps[-1] * think_s
        return simulate_closed(
            self.station,
            users,
            think_s,
            seconds=self.seconds,
            warm_s=_WARM_SHARE * self.seconds + (pauses * think_s if overloaded else 0.0),
            seed=self.seed,
        )


def calibrate(ladder: Ladder, seconds: float, seed: int) -> Model | NotFitted:
    """The model of a ladder; NotFitted where one user was not measured well."""
    service_s = ladder.service_s
    if ladder.users[0] != 1 or not len(service_s):
        return NotFitted("there are no service times of one user alone")
    rates = _rates(ladder)
    measured = {
        users: float(np.median([rung.quantile_ms(0.95) for rung in ladder.at(users)]))
        for users in ladder.users[1:]
        if not any(rung.reading.void for rung in ladder.at(users))
    }
    measured = {users: ms for users, ms in measured.items() if math.isfinite(ms)}
    if not measured:
        return NotFitted("no rung above one user can be used: the generator was the limit")
    work = np.minimum(service_s, np.quantile(service_s, _USUAL))
    tried = [Station(rates, work, slots, favour) for slots, favour in SHARING]
    misfits = [_misfit(station, measured, seed) for station in tried]
    best = int(np.argmin(misfits))
    return Model(tried[best], misfits[best], seconds, seed)


def _rates(ladder: Ladder) -> tuple[float, ...]:
    """Requests a second with 1, 2, ... users: as measured, and between neighbours by their times.

    The time of a round of N users, N/X(N), lies on a straight line between two rungs, which is
    exact for the law without coherency. Not the law's own curve, which knows nothing of what
    requests do together in one tick of the server.
    """
    measured = np.array([max(ladder.rps(users), _LEAST_RPS) for users in ladder.users])
    present = np.arange(1.0, ladder.users[-1] + 1)
    times_s = np.interp(present, ladder.users, np.array(ladder.users) / measured)
    return tuple((present / times_s).tolist())


def _misfit(station: Station, measured: dict[int, float], seed: int) -> float:
    """The typical |ln| of simulated over measured p95, over the rungs."""
    off = []
    for users, ms in measured.items():
        run = simulate_closed(station, users, 0.0, seconds=_CALIBRATED_S, warm_s=0.5, seed=seed)
        off.append(abs(math.log(1e3 * float(np.quantile(run.response_s, 0.95)) / ms)))
    return math.exp(float(np.mean(off))) - 1


def p95_ms(run: Simulated) -> Estimate:
    """The 95th percentile of a simulation, in ms."""
    estimate = run.response_quantile_s(0.95) if len(run.response_s) else NotEstimable("no request")
    return estimate if isinstance(estimate, NotEstimable) else estimate.scaled(1e3)


def holds(model: Model, users: int, think_s: float, promised_ms: float) -> bool:
    """Whether so many users get their p95, in the simulation."""
    run = model.closed(users, think_s, pauses=1.0)
    if not len(run.response_s):
        return False
    return 1e3 * float(np.quantile(run.response_s, 0.95)) <= promised_ms


def most_users(model: Model, think_s: float, promised_ms: float, *, probes: int = 4) -> int:
    """The most users that one core holds, in the simulation; 0 where it is not even one.

    A search by halves below what the highest rate allows, N = X·(Z + R).
    """
    highest = max(model.station.rates_rps)
    low, high = 0, math.ceil(highest * (think_s + promised_ms / 1e3)) + 1
    for _ in range(probes):
        if high - low <= max(1, high // 50):
            break
        middle = max(1, (low + high) // 2 if low else math.ceil(0.8 * high))
        if holds(model, middle, think_s, promised_ms):
            low = middle
        else:
            high = middle
    return low


def cores_for(users: int, each: int) -> int:
    """Cores with a process each for so many users."""
    return math.ceil(users / each)
