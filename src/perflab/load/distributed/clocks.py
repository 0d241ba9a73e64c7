"""How far another's clock is from one's own, by asking (Cristian's algorithm)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

PROBES: Final = 15


class Offset(NamedTuple):
    """Seconds to add to one's own clock, and how far that may be off."""

    seconds: float
    uncertainty_s: float


def offset_of(
    ask: Callable[[], float],
    clock: Callable[[], float] = time.perf_counter,
    probes: int = PROBES,
) -> Offset:
    """The offset of the clock that ``ask`` reads.

    Of several answers the fastest counts: its reading was taken somewhere between question and
    answer, so half of that time bounds the error, however uneven the two ways are.
    """
    best = Offset(0.0, float("inf"))
    for _ in range(probes):
        asked = clock()
        theirs = ask()
        answered = clock()
        half = (answered - asked) / 2
        if half < best.uncertainty_s:
            best = Offset(theirs - (asked + half), half)
    return best
