"""The highest rate at which something holds: a bounded search over loads that may surprise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

STRIDE: Final = 4.0
"""By how much the rate is raised as long as nothing has failed."""
RETREAT: Final = 2.0
"""By how much it is lowered as long as nothing has held: slower loads take longer."""
CLOSE: Final = 1.08
"""Bounds nearer to each other than this are not told apart by loads of a second."""


class Probe(Protocol):
    """What one load at one rate said."""

    @property
    def rate_rps(self) -> float:
        """Arrivals a second."""

    @property
    def void(self) -> str:
        """Why it says nothing of the server; empty where it does."""


P = TypeVar("P", bound=Probe)


@dataclass(frozen=True)
class Bracket(Generic[P]):
    """Between which rates the limit lies, as far as the probes tell."""

    held: P | None
    """At the highest rate at which it held, below every rate at which it did not."""
    failed: P | None
    """At the lowest rate at which it did not hold, or at which the generator was the limit."""

    @property
    def lower(self) -> float:
        """Requests a second that it held at; 0 where it held at none."""
        return self.held.rate_rps if self.held else 0.0

    @property
    def upper(self) -> float:
        """Where it failed; infinite where it never did, or where only the generator failed."""
        return self.failed.rate_rps if self.failed and not self.failed.void else math.inf

    @property
    def ceiling(self) -> float:
        """The lowest rate that is not to be tried again."""
        return self.failed.rate_rps if self.failed else math.inf


def bracket(probes: Sequence[P], holds: Callable[[P], bool]) -> Bracket[P]:
    """What the probes say, taken together; one that is void counts as neither."""
    bad = [one for one in probes if one.void or not holds(one)]
    failed = min(bad, key=lambda one: one.rate_rps, default=None)
    good = [one for one in probes if not one.void and holds(one)]
    below = [one for one in good if failed is None or one.rate_rps < failed.rate_rps]
    return Bracket(max(below, key=lambda one: one.rate_rps, default=None), failed)


def search(
    probe: Callable[[float], P],
    holds: Callable[[P], bool],
    *,
    first: float,
    most: float,
    probes: int,
    least: float = 0.0,
    known: Sequence[P] = (),
) -> tuple[P, ...]:
    """Up to ``probes`` more loads, each at the rate that narrows the bracket most.

    The rate is multiplied by ``STRIDE`` until something fails, or divided by ``RETREAT`` until
    something holds, and then halved in between, on a logarithmic scale, until the bounds are
    within ``CLOSE`` of each other.

    Args:
        probe: puts a load on.
        holds: whether what is promised held in it.
        first: the rate to begin with, where nothing is known.
        most: no load is above this rate.
        probes: how many loads at most.
        least: no load is below this rate.
        known: loads that were put on before.

    Returns:
        All probes, the known ones first; ``bracket`` reads them.
    """
    done = list(known)
    for _ in range(probes):
        found = bracket(done, holds)
        rate = _next(found, first, most)
        if rate is None or rate < least:
            break
        done.append(probe(rate))
    return tuple(done)


def _next(found: Bracket[P], first: float, most: float) -> float | None:
    if found.failed is None:
        if found.held is None:
            return min(first, most)
        return min(found.lower * STRIDE, most) if found.lower < most else None
    if found.held is None:
        return found.ceiling / RETREAT
    if found.ceiling <= found.lower * CLOSE:
        return None
    return math.sqrt(found.lower * found.ceiling)
