"""When things are due: a scenario's arrival checked, and as times."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perflab.config import error_at
from perflab.load import arrivals
from perflab.load.scenarios import file as written

MOST_DUE: Final = 20_000_000
"""A request costs about 60 bytes."""


def check_arrival(path: Path, arrival: written.Arrival, seconds: float) -> None:
    """A ConfigError names what is wrong with an arrival that goes on for so long."""
    key, mean = _mean_rate(arrival)
    reason = ""
    if isinstance(arrival, written.Spike) and arrival.at_s + arrival.spike_s >= seconds:
        key, reason = "at_s", f"the spike must end before the {seconds:g} s do"
    elif not mean > 0:
        reason = "the rate is 0 all the time, so nothing would be sent"
    elif mean < float("inf") and mean * seconds > MOST_DUE:
        reason = f"{mean * seconds:,.0f} requests in all; at most {MOST_DUE:,} are recorded"
    if reason:
        raise error_at(path, ["arrival", key], reason)


def _mean_rate(arrival: written.Arrival) -> tuple[str, float]:
    """The key that sets the rate, and the mean or (of a spike) the highest; infinite if closed."""
    match arrival:
        case written.Closed():
            return "kind", float("inf")
        case written.Ramp():
            return "to_per_s", (arrival.from_per_s + arrival.to_per_s) / 2
        case written.Step():
            return "rates_per_s", sum(arrival.rates_per_s) / len(arrival.rates_per_s)
        case written.Spike():
            return "peak_per_s", max(arrival.base_per_s, arrival.peak_per_s)
        case _:
            return "rate_per_s", arrival.rate_per_s


def due_times(
    arrival: written.Arrival, seconds: float, seed: int, factor: float = 1.0
) -> NDArray[np.float64]:
    """When something is due, in seconds from the start; nothing in a closed load.

    Args:
        arrival: at which rates.
        seconds: until when.
        seed: the same gives the same times.
        factor: what the rates are multiplied by.
    """
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
