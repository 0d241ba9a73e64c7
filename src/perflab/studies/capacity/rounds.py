"""Rounds of loads: every rung, and between them the two that nothing is fitted to."""

from __future__ import annotations

from typing import Final

import numpy as np

from perflab.profiles import CapacitySizes
from perflab.progress import Step
from perflab.report.not_run import NotRun
from perflab.studies.capacity.held_back import HeldBack, Seen, choose, put_aside, put_opened
from perflab.studies.capacity.ladder import Ladder, Rung, fit_rungs, put_rung
from perflab.studies.capacity.opened import Arm

_OPENED: Final = 0
_ASIDE: Final = -1
"""In place of a number of users."""
_STREAM: Final = 71


def climb(
    arm: Arm, sizes: CapacitySizes, seed: int, step: Step | None = None
) -> tuple[Ladder, HeldBack | NotRun]:
    """Every concurrency of the profile in each round, in an order that is drawn anew.

    The loads that are held back go along in the same rounds, so that whatever the machine does
    meanwhile happens to them and to the rungs alike. They follow from the rounds before; a first
    one is used for nothing else and leaves the server warm.
    """
    rng = np.random.default_rng([seed, _STREAM])
    loads, rounds = sizes.loads, sizes.repetitions
    total = len(loads) + rounds * (len(loads) + 2)
    done = 0

    def tell(what: str) -> None:
        nonlocal done
        if step:
            step(what, done, total)
        done += 1

    first: list[Rung] = []
    for users in loads:
        tell(f"first round, {users} users")
        first.append(put_rung(arm, users, sizes.load_s))
    rungs: list[Rung] = []
    opened: list[Seen] = []
    aside: list[Seen] = []
    for number in range(rounds):
        known = [*first, *rungs]
        chosen = choose(Ladder(tuple(known), fit_rungs(known, seed, resamples=1)))
        for users in rng.permutation([*loads, _OPENED, _ASIDE]).tolist():
            if users == _OPENED:
                tell(f"round {number + 1}, {chosen.rate_rps:,.0f} arrivals/s")
                opened.append(put_opened(arm, chosen, sizes.step_s, seed + number))
            elif users == _ASIDE:
                tell(f"round {number + 1}, {chosen.users} users")
                aside.append(put_aside(arm, chosen, sizes.step_s))
            else:
                tell(f"round {number + 1}, {users} users")
                rungs.append(put_rung(arm, users, sizes.load_s))
    ladder = Ladder(tuple(rungs), fit_rungs(rungs, seed))
    if not ladder.peak[1]:
        return ladder, NotRun("held-back loads", "no closed load was answered")
    return ladder, HeldBack(tuple(opened), tuple(aside))
