"""Closed loads at fixed concurrency, one rung after the other, and the law fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflab.capacity.scalability import RESAMPLES, NotFitted, Scalability, fit
from perflab.studies.api.ceiling import Reading
from perflab.studies.api.loads import answered
from perflab.studies.capacity.attribution import Attribution, attributed, held_up_by, parts_of
from perflab.studies.capacity.opened import Arm

Floats = NDArray[np.float64]

_PREPARED_RPS: Final = 3_000
"""Requests made ready for each second; after the last the first comes again."""
_FEWEST: Final = 500
_EACH_S: Final = 0.015
"""Seconds of a load for each of its users: at a thousand answers a second, fifteen turns."""
_WARM_SHARE: Final = 0.25


@dataclass(frozen=True)
class Rung:
    """One closed load."""

    users: int
    reading: Reading
    good: NDArray[np.bool_]
    found: Attribution
    warm_s: float = 0.0
    """What at its beginning is not looked at. Users who all begin at once get their cheap requests
    answered first, while dear ones still wait for each other: that is faster than they go on."""

    @property
    def rps(self) -> float:
        """Good answers a second."""
        samples = self.reading.samples
        counted = (
            self.good & (samples.ended_s >= self.warm_s) & (samples.ended_s <= samples.window_s)
        )
        return int(np.count_nonzero(counted)) / (samples.window_s - self.warm_s)

    @property
    def rps_to_the_end(self) -> float:
        """Good answers a second until the last one, for answers that take as long as a load."""
        return rate_to_the_end(self.good, self.reading.samples.ended_s)

    @property
    def others(self) -> int:
        """Requests without a good answer."""
        return len(self.good) - int(np.count_nonzero(self.good))

    @property
    def service_s(self) -> Floats:
        """From sending to the answer, of good ones."""
        return self.reading.samples.service_s[self._looked_at]

    @property
    def response_s(self) -> Floats:
        """From when each was due, of good ones."""
        return self.reading.samples.latency_s[self._looked_at]

    def quantile_ms(self, q: float) -> float:
        """Of the response times."""
        return 1e3 * float(np.quantile(self.response_s, q)) if len(self.response_s) else np.nan

    @property
    def _looked_at(self) -> NDArray[np.bool_]:
        return np.asarray(self.good & (self.reading.samples.scheduled_s >= self.warm_s))


@dataclass(frozen=True)
class Ladder:
    """All of them."""

    rungs: tuple[Rung, ...]
    fitted: Scalability | NotFitted

    @property
    def users(self) -> tuple[int, ...]:
        """The different concurrencies, ascending."""
        return tuple(sorted({rung.users for rung in self.rungs}))

    def rps(self, users: int) -> float:
        """The median over the repetitions of one concurrency that the generator did not spoil."""
        rungs = self.at(users)
        usable = [rung for rung in rungs if not rung.reading.void]
        return float(np.median([rung.rps for rung in usable or rungs]))

    @property
    def peak(self) -> tuple[int, float]:
        """The concurrency with the highest throughput, and that throughput: measured."""
        best = max(self.users, key=self.rps)
        return best, self.rps(best)

    def at(self, users: int) -> tuple[Rung, ...]:
        """The repetitions of one concurrency."""
        return tuple(rung for rung in self.rungs if rung.users == users)

    @property
    def service_s(self) -> Floats:
        """What a request takes that nobody else is there with."""
        return np.concatenate([rung.service_s for rung in self.at(self.users[0])])


def rate_to_the_end(good: NDArray[np.bool_], ended_s: Floats) -> float:
    """Good answers a second until the last of them; 0 without any."""
    ends = ended_s[good]
    return len(ends) / float(ends.max()) if len(ends) else 0.0


def put_rung(arm: Arm, users: int, least_s: float) -> Rung:
    """Users without a pause, for as long as each needs some turns; the beginning is left out."""
    seconds = max(least_s, _EACH_S * users)
    return put_closed(arm, users, seconds, warm_s=_WARM_SHARE * seconds)


def put_closed(
    arm: Arm,
    users: int,
    seconds: float,
    *,
    think_s: float | Floats = 0.0,
    warm_s: float = 0.0,
    own_process: bool = False,
) -> Rung:
    """A fixed number of users who send the arm's next requests."""
    requests = arm.traffic.take(max(_FEWEST, int(_PREPARED_RPS * seconds)))
    reading, found = attributed(
        arm,
        lambda: arm.served.closed(
            requests, seconds, users=users, think_s=think_s, own_process=own_process
        ),
        lambda outcome: outcome,
    )
    return Rung(users, reading, answered(reading, arm.traffic.good), found, warm_s)


def fit_rungs(
    rungs: Sequence[Rung], seed: int, *, resamples: int = RESAMPLES
) -> Scalability | NotFitted:
    """The law, to the median of each concurrency over the rungs that say something of the server.

    A machine that was elsewhere for one repetition says nothing about scaling.
    """
    told: dict[int, list[float]] = {}
    for rung in rungs:
        if not rung.reading.void and rung.rps > 0:
            told.setdefault(rung.users, []).append(rung.rps)
    return fit(
        list(told),
        [float(np.median(rates)) for rates in told.values()],
        seed=seed,
        resamples=resamples,
    )


def ladder_frame(ladder: Ladder) -> pd.DataFrame:
    """One row a concurrency."""
    rows = []
    for users in ladder.users:
        rungs = ladder.at(users)
        rows.append(
            {
                "users": users,
                "rps": ladder.rps(users),
                "least": min(rung.rps for rung in rungs),
                "most": max(rung.rps for rung in rungs),
                "median_ms": float(np.median([rung.quantile_ms(0.5) for rung in rungs])),
                "p95_ms": float(np.median([rung.quantile_ms(0.95) for rung in rungs])),
                "others": sum(rung.others for rung in rungs),
                **parts_of([rung.found for rung in rungs]),
                "bottleneck": held_up_by([rung.found for rung in rungs]),
                "void": next((rung.reading.void for rung in rungs if rung.reading.void), ""),
            }
        )
    return pd.DataFrame(rows)
