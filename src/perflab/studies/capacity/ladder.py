"""Closed loads at fixed concurrency, one rung after the other, and the law fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflab.capacity.scalability import NotFitted, Scalability, fit
from perflab.profiles import CapacitySizes
from perflab.progress import Step
from perflab.studies.api.ceiling import Reading
from perflab.studies.api.loads import answered
from perflab.studies.capacity.attribution import Attribution, attributed
from perflab.studies.capacity.opened import Arm

Floats = NDArray[np.float64]

_PREPARED_RPS: Final = 3_000
"""Requests made ready for each second; after the last the first comes again."""
_FEWEST: Final = 500
_STREAM: Final = 71


@dataclass(frozen=True)
class Rung:
    """One closed load."""

    users: int
    reading: Reading
    good: NDArray[np.bool_]
    found: Attribution

    @property
    def rps(self) -> float:
        """Good answers a second."""
        whole = max(1, int(np.count_nonzero(self.reading.samples.answered)))
        return self.reading.rps * int(np.count_nonzero(self.good)) / whole

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
        return self.reading.samples.service_s[self.good]

    @property
    def response_s(self) -> Floats:
        """From when each was due, of good ones."""
        return self.reading.samples.latency_s[self.good]

    def quantile_ms(self, q: float) -> float:
        """Of the response times."""
        return 1e3 * float(np.quantile(self.response_s, q)) if len(self.response_s) else np.nan


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
        """The median over the repetitions of one concurrency."""
        return float(np.median([rung.rps for rung in self.at(users)]))

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


def put_closed(
    arm: Arm,
    users: int,
    seconds: float,
    *,
    think_s: float | Floats = 0.0,
    own_process: bool = False,
) -> Rung:
    """A fixed number of users who send the arm's next requests."""
    requests = arm.traffic.take(max(_FEWEST, int(_PREPARED_RPS * seconds)))
    reading, found = attributed(
        arm.served,
        lambda: arm.served.closed(
            requests, seconds, users=users, think_s=think_s, own_process=own_process
        ),
        lambda outcome: outcome,
    )
    return Rung(users, reading, answered(reading, arm.traffic.good), found)


def climb(arm: Arm, sizes: CapacitySizes, seed: int, step: Step | None = None) -> Ladder:
    """Every concurrency of the profile, in an order that is drawn anew for each repetition.

    A rung that the generator spoilt is left out of the fit.
    """
    rng = np.random.default_rng([seed, _STREAM])
    total = sizes.repetitions * len(sizes.loads)
    rungs: list[Rung] = []
    for _ in range(sizes.repetitions):
        for users in rng.permutation(sizes.loads).tolist():
            if step:
                step(f"{users} users", len(rungs), total)
            rungs.append(put_closed(arm, users, sizes.load_s))
    return Ladder(tuple(rungs), fit_rungs(rungs, seed))


def fit_rungs(rungs: Sequence[Rung], seed: int) -> Scalability | NotFitted:
    """The law, to the median of each concurrency over the rungs that say something of the server.

    A machine that was elsewhere for one repetition says nothing about scaling.
    """
    told: dict[int, list[float]] = {}
    for rung in rungs:
        if not rung.reading.void and rung.rps > 0:
            told.setdefault(rung.users, []).append(rung.rps)
    return fit(list(told), [float(np.median(rates)) for rates in told.values()], seed=seed)


def ladder_frame(ladder: Ladder) -> pd.DataFrame:
    """One row a concurrency."""
    rows = []
    for users in ladder.users:
        rungs = ladder.at(users)
        shares = [rung.found.shares for rung in rungs]
        rows.append(
            {
                "users": users,
                "rps": ladder.rps(users),
                "least": min(rung.rps for rung in rungs),
                "most": max(rung.rps for rung in rungs),
                "median_ms": float(np.median([rung.quantile_ms(0.5) for rung in rungs])),
                "p95_ms": float(np.median([rung.quantile_ms(0.95) for rung in rungs])),
                "others": sum(rung.others for rung in rungs),
                "server": float(np.mean([one.server for one in shares])),
                "postgres": float(np.mean([one.postgres for one in shares])),
                "redis": float(np.mean([one.redis for one in shares])),
                "generator": float(np.mean([rung.found.generator for rung in rungs])),
                "hit_ratio": float(np.mean([rung.found.hit_ratio for rung in rungs])),
                "waited": float(np.mean([rung.found.waited for rung in rungs])),
                "void": next((rung.reading.void for rung in rungs if rung.reading.void), ""),
            }
        )
    return pd.DataFrame(rows)
