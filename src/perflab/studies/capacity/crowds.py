"""People who think between requests: as many as were really there, and what follows for more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from perflab.capacity.queues import People
from perflab.capacity.scalability import NotFitted
from perflab.descriptors import room_for
from perflab.measure.statistics import Estimate, Interval, NotEstimable, exact
from perflab.profiles import CapacitySizes
from perflab.progress import Step
from perflab.studies.capacity.ladder import Rung, put_closed
from perflab.studies.capacity.model import Model, cores_for, most_users, p95_ms
from perflab.studies.capacity.opened import Arm

_COLUMNS: Final = ("users", "how", "rps", "measured_ms", "simulated_ms", "n", "holds")
ANSWERED: Final = 0.999
"""The share of requests with a good answer in a load that holds."""


@dataclass(frozen=True)
class Crowd:
    """So many users on one core, measured."""

    users: int
    rung: Rung
    promised_ms: float

    @property
    def holds(self) -> bool:
        """Whether p95 kept the promise, with hardly a request lost."""
        rung = self.rung
        kept = rung.quantile_ms(0.95) <= self.promised_ms
        return bool(kept and rung.others <= (1 - ANSWERED) * len(rung.good))

    @property
    def void(self) -> str:
        """Why it says nothing of the server; empty where it does, as of an open step."""
        return "" if self.holds else self.rung.reading.void


@dataclass(frozen=True)
class Crowds:
    """What ran, and what the simulation says beyond it."""

    measured: tuple[Crowd, ...]
    people: People
    promised_ms: float
    core_users: int | NotFitted
    """Users that one core holds: extrapolated."""
    simulated: dict[int, Estimate]
    """p95 in ms of the crowds that ran, and of all that are wanted on one core: simulated."""
    left_out: tuple[int, ...] = ()
    """Numbers of users that the machine allows too few open files for."""

    @property
    def wanted(self) -> int:
        """Users in the busiest hour."""
        return round(self.people.concurrent)

    @property
    def cores(self) -> int | NotFitted:
        """That hold everybody: extrapolated."""
        if isinstance(self.core_users, NotFitted):
            return self.core_users
        if not self.core_users:
            return NotFitted("in the simulation not even one user gets the promised p95")
        return cores_for(self.wanted, self.core_users)

    @property
    def held(self) -> int:
        """The most users that were really there and got their p95; 0 where none did."""
        return max((crowd.users for crowd in self.usable if crowd.holds), default=0)

    @property
    def usable(self) -> tuple[Crowd, ...]:
        """The crowds that the generator did not spoil; one that did not hold is the last."""
        return tuple(crowd for crowd in self.measured if not crowd.void)

    def users(self, target: float) -> Estimate:
        """The users that a core of this machine was seen to hold.

        Not estimable where all that were tried were held and the target was not among them: more
        was not measured, and what was not measured is not judged.
        """
        if not self.measured:
            return NotEstimable("too few open files for any of the loads; raise ulimit -n")
        if not self.usable:
            return NotEstimable("the generator was the limit in every load")
        failed = [crowd.users for crowd in self.usable if not crowd.holds]
        if failed:
            return Interval(float(self.held), float(self.held), float(min(failed)))
        if self.held >= target:
            return exact(float(self.held))
        return NotEstimable(f"measured: {self.held:,} users held; {self.beyond}")

    @property
    def beyond(self) -> str:
        """What is extrapolated, in a few words."""
        if isinstance(self.core_users, NotFitted):
            return f"nothing is extrapolated ({self.core_users.reason})"
        return f"extrapolated: {self.core_users:,} users on one core"


def gather(
    arm: Arm,
    people: People,
    promised_ms: float,
    model: Model | NotFitted,
    sizes: CapacitySizes,
    step: Step | None = None,
) -> Crowds:
    """As many users as the profile says, each on a connection of their own, until p95 is lost.

    Numbers that a process may not have connections for are left out.

    Every pause is as long as the mean one, and the users begin spread over it: so requests come
    from the first moment on as often as later.
    """
    measured: list[Crowd] = []
    possible = [users for users in sizes.people if users <= room_for()]
    left_out = tuple(users for users in sizes.people if users > room_for())
    for number, users in enumerate(possible):
        if step:
            step(f"{users:,} users", number, len(possible))
        rung = put_closed(arm, users, sizes.people_s, think_s=people.think_s, own_process=True)
        measured.append(Crowd(users, rung, promised_ms))
        if not measured[-1].holds:
            break
    if isinstance(model, NotFitted):
        return Crowds(tuple(measured), people, promised_ms, model, {}, left_out)
    asked = {*(crowd.users for crowd in measured), round(people.concurrent)}
    simulated = {users: p95_ms(model.closed(users, people.think_s)) for users in sorted(asked)}
    most = most_users(model, people.think_s, promised_ms)
    return Crowds(tuple(measured), people, promised_ms, most, simulated, left_out)


def crowds_frame(crowds: Crowds) -> pd.DataFrame:
    """One row a number of users on one core; what was measured and what was not, apart."""
    rows = []
    ran = {crowd.users: crowd for crowd in crowds.measured}
    extra: Sequence[int] = [] if isinstance(crowds.core_users, NotFitted) else [crowds.core_users]
    for users in sorted({*ran, *crowds.simulated, *extra}):
        crowd = ran.get(users)
        simulated = crowds.simulated.get(users)
        rows.append(
            {
                "users": users,
                "how": "measured" if crowd else "extrapolated",
                "rps": crowd.rung.rps if crowd else np.nan,
                "measured_ms": crowd.rung.quantile_ms(0.95) if crowd else np.nan,
                "simulated_ms": getattr(simulated, "estimate", np.nan),
                "n": len(crowd.rung.good) if crowd else 0,
                "holds": _finding(crowds, users),
            }
        )
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _finding(crowds: Crowds, users: int) -> str:
    for crowd in crowds.measured:
        if crowd.users == users:
            return crowd.void or ("yes" if crowd.holds else "no")
    if isinstance(crowds.core_users, NotFitted):
        return "cannot tell"
    return "yes, simulated" if users <= crowds.core_users else "no, simulated"
