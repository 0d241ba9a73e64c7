"""What the tests of the capacity study share: loads made by hand, of a system that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from perflab.capacity.queues import Station, simulate_closed
from perflab.capacity.recommend import Shares
from perflab.load import OUTCOMES, LoadSamples
from perflab.profiles import CapacitySizes, load_profiles
from perflab.studies.api.ceiling import Reading
from perflab.studies.api.loads import Load
from perflab.studies.capacity.attribution import Attribution, Counts
from perflab.studies.capacity.ladder import Ladder, Rung, fit_rungs

PROFILES = Path(__file__).parents[2] / "fixtures" / "profiles.toml"
LOADS = (1, 2, 4, 8, 16, 32)
FOUND = Attribution(Shares(0.6, 0.2, 0.1), 0.3, Counts(100, 90, 50, 5, 0.1), "")


def some_sizes(**changes: Any) -> CapacitySizes:
    """The smallest profile's sizes, with some of them changed."""
    return msgspec.structs.replace(load_profiles(PROFILES)["smoke"].capacity, **changes)


def reading(latency_s: Any, *, seconds: float, status: int = 200, late_s: float = 0.0) -> Reading:
    """Requests spread over so many seconds, with these latencies and the given lateness."""
    latency = np.atleast_1d(np.asarray(latency_s, np.float64))
    n = len(latency)
    scheduled = np.linspace(0.0, seconds, n, endpoint=False)
    samples = LoadSamples(
        scheduled_s=scheduled,
        taken_s=scheduled + late_s,
        started_s=scheduled + late_s,
        ended_s=scheduled + latency,
        status=np.full(n, status, np.int16),
        body_bytes=np.full(n, 650, np.int64),
        outcome=np.full(n, OUTCOMES.index("answered"), np.int8),
        kind="closed",
        window_s=seconds,
        busy_share=0.3,
        began_unix_s=0.0,
    )
    return Reading(samples, {"server": 0.6, "postgres": 0.2, "redis": 0.1})


class KnownRung(Rung):
    """A rung whose throughput is said, and not counted."""

    said_rps: float

    @property
    def rps(self) -> float:
        return self.said_rps

    @property
    def rps_to_the_end(self) -> float:
        return self.said_rps


def rung(users: int, rps: float, latency_s: Any = 0.01, *, late_s: float = 0.0) -> KnownRung:
    """A rung of this throughput and these latencies."""
    times = np.full(200, latency_s) if np.ndim(latency_s) == 0 else latency_s
    read = reading(times, seconds=1.0, late_s=late_s)
    found = replace(FOUND, void=read.void)
    made = KnownRung(users, read, read.samples.status == 200, found)
    object.__setattr__(made, "said_rps", rps)
    return made


def ladder_of(station: Station, loads: Sequence[int] = LOADS) -> Ladder:
    """The rungs that a station would give, latencies included."""
    rungs = []
    for users in loads:
        run = simulate_closed(station, users, 0.0, seconds=2.5, warm_s=0.5, seed=users)
        rungs.append(rung(users, len(run.response_s) / 2.5, run.response_s))
    return Ladder(tuple(rungs), fit_rungs(rungs, 1))


def load_of(rate_rps: float, latency_s: Any, *, status: int = 200, late_s: float = 0.0) -> Load:
    """An open load."""
    read = reading(latency_s, seconds=1.0, status=status, late_s=late_s)
    return Load(rate_rps, read, read.samples.status == 200)
