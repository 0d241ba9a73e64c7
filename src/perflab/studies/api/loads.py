"""One load looked at: what it answered, how long that took, whether it could have gone on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from perflab.load.arrivals import poisson
from perflab.measure.blocks import Blocks
from perflab.measure.statistics import (
    MIN_BLOCKS,
    Estimate,
    Interval,
    mean_of_repetitions,
    quantile_of,
)
from perflab.studies.api.ceiling import Reading, Served
from perflab.studies.api.traffic import Traffic

Floats = NDArray[np.float64]

PATIENCE_S: Final = 5.0
"""After so long a client gives up."""
GROWTH: Final = 0.10
"""Of a load's length: by how much the wait at its end may exceed that at its beginning. More, and
the load outran the server, however short the waits still are."""
TRIES: Final = 3
"""Of one load that the generator spoils: the machine may have been elsewhere for a moment."""
_EDGE: Final = 0.10
"""The share of the requests that are its beginning, and its end."""


class _Spoilable(Protocol):
    @property
    def void(self) -> str:
        """Why it says nothing of the server; empty where it does."""


S = TypeVar("S", bound=_Spoilable)


def unspoilt(put: Callable[[], S]) -> S:
    """A load; one that is void is put on again, ``TRIES`` times at most, and the last counts."""
    for _ in range(TRIES - 1):
        found = put()
        if not found.void:
            return found
    return put()


@dataclass(frozen=True)
class Load:
    """Requests of one category at one rate."""

    rate_rps: float
    reading: Reading
    good: NDArray[np.bool_]
    """Which were answered as they should be."""

    @property
    def ms(self) -> Floats:
        """Latencies from the schedule; of a request without a good answer, a client's patience."""
        taken = 1e3 * self.reading.samples.latency_s
        return np.where(self.good, taken, 1e3 * PATIENCE_S)

    @property
    def mean_ms(self) -> float:
        """The average latency."""
        return float(self.ms.mean())

    def quantile_ms(self, q: float) -> float:
        """A percentile of the latency: the smallest that at least q of all do not exceed."""
        ordered = np.sort(self.ms)
        return float(ordered[max(0, int(np.ceil(q * len(ordered) - 1e-9)) - 1)])

    @property
    def refused(self) -> int:
        """Requests without a good answer."""
        return int(np.count_nonzero(~self.good))

    @property
    def void(self) -> str:
        """Why it says nothing of the server, in brief; empty where it does."""
        return self.reading.void

    @property
    def outran(self) -> bool:
        """Whether requests came faster than they were answered: the wait went on growing."""
        edge = max(1, int(_EDGE * len(self.ms)))
        grown_ms = float(self.ms[-edge:].mean() - self.ms[:edge].mean())
        return grown_ms > 1e3 * GROWTH * self.reading.samples.window_s


def put_load(served: Served, traffic: Traffic, rate_rps: float, seconds: float, seed: int) -> Load:
    """Poisson arrivals of a category's next requests, at a server that was idle before."""
    due_s = poisson(rate_rps, seed=seed, seconds=seconds)
    if not len(due_s):
        due_s = np.zeros(1)
    requests = traffic.take(len(due_s))
    served.settle()
    reading = served.due(
        lambda position: requests[position], due_s, timeout_s=PATIENCE_S, own_process=False
    )
    return Load(rate_rps, reading, answered(reading, traffic.good))


def answered(reading: Reading, statuses: Collection[int]) -> NDArray[np.bool_]:
    """Which requests were answered with one of these."""
    samples = reading.samples
    return np.asarray(samples.answered & np.isin(samples.status, list(statuses)))


def mean_ms(loads: Sequence[Load]) -> Estimate:
    """The average, with Student's interval over the loads."""
    return over_repetitions([load.mean_ms for load in loads])


def over_repetitions(values: Sequence[float]) -> Estimate:
    """The mean of times or rates: never below 0, whatever three of them say."""
    estimate = mean_of_repetitions(values)
    if isinstance(estimate, Interval):
        return Interval(estimate.estimate, max(0.0, estimate.lo), estimate.hi)
    return estimate


def quantile_ms(loads: Sequence[Load], q: float) -> Estimate:
    """A percentile over all loads; its interval is that of blocks, stretches of one load each."""
    each = -(-MIN_BLOCKS // len(loads))
    return quantile_of(Blocks.of([part for load in loads for part in _parts(load.ms, each)]), q)


def _parts(values: Floats, count: int) -> list[Floats]:
    return [part for part in np.array_split(values, count) if len(part)]
