"""Rounds of loads: every rung, and between them the two that nothing is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from perflab.profiles import CapacitySizes
from perflab.progress import Step
from perflab.report.not_run import NotRun
from perflab.studies.capacity.held_back import (
    Chosen,
    HeldBack,
    Seen,
    choose,
    put_aside,
    put_opened,
)
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
    meanwhile happens to them and to the rungs alike. They follow from the rungs so far; in the
    first round they come last.
    """
    rng = np.random.default_rng([seed, _STREAM])
    loads, rounds = sizes.loads, sizes.repetitions
    total = rounds * (len(loads) + 2)
    rungs: list[Rung] = []
    opened: list[Seen] = []
    aside: list[Seen] = []

    def put(users: int, number: int) -> None:
        if step:
            what = {_OPENED: "arrivals held back", _ASIDE: "users held back"}
            done = len(rungs) + len(opened) + len(aside)
            step(f"round {number + 1}, {what.get(users, f'{users} users')}", done, total)
        if users == _OPENED:
            opened.append(put_opened(arm, chosen, sizes.step_s, seed + number))
        elif users == _ASIDE:
            aside.append(put_aside(arm, chosen, sizes.step_s))
        else:
            rungs.append(put_rung(arm, users, sizes.load_s))

    for users in rng.permutation(loads).tolist():
        put(users, 0)
    chosen = _chosen(rungs, seed)
    for users in rng.permutation([_OPENED, _ASIDE]).tolist():
        put(users, 0)
    for number in range(1, rounds):
        chosen = _chosen(rungs, seed)
        for users in rng.permutation([*loads, _OPENED, _ASIDE]).tolist():
            put(users, number)
    ladder = Ladder(tuple(rungs), fit_rungs(rungs, seed))
    if not ladder.peak[1]:
        return ladder, NotRun("held-back loads", "no closed load was answered")
    return ladder, HeldBack(tuple(opened), tuple(aside))


def _chosen(rungs: Sequence[Rung], seed: int) -> Chosen:
    return choose(Ladder(tuple(rungs), fit_rungs(rungs, seed, resamples=1)))
