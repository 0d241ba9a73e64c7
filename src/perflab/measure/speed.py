"""How fast the machine is just now, beside the best that it has shown.

A core of a virtual machine may run at half its speed for hours, because of who shares it, and none
of its own counters shows that: CPU time goes by like the clock's. So a fixed loop is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from perflab.errors import PerflabError
from perflab.files import read_document, write_document

SLOW: Final = 0.8
"""Of the best speed; below it milliseconds and rates are those of a slower machine."""
_ADDITIONS: Final = 20_000
"""Of one loop, about a millisecond."""
_LOOPS: Final = 15

Speed: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]
"""Million additions a second."""


class SpeedError(PerflabError):
    """A record of speeds cannot be read."""


class SpeedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a run saw of its machine's speed, in million additions a second; ``speed.json``."""

    format: Literal["perflab-speed"] = "perflab-speed"
    version: int = 1
    best: Speed
    """The highest that this machine ever showed to this user."""
    looks: dict[str, tuple[Speed, ...]]
    """By notebook, in their order."""

    @property
    def shares(self) -> tuple[float, ...]:
        """Every look as a share of the best."""
        return tuple(speed / self.best for speeds in self.looks.values() for speed in speeds)

    @property
    def middle(self) -> float:
        """The median look, in million additions a second."""
        return self.best * median(self.shares)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence if the machine was slow at some time."""
        shares = self.shares
        if not shares or min(shares) >= SLOW:
            return ()
        times = "once" if len(shares) == 1 else f"{len(shares)} times"
        return (
            f"The machine ran at {_span(min(shares), max(shares))} of the best speed that it has"
            f" shown (a fixed loop, timed {times} during the run): milliseconds and rates are those"
            " of a slower machine; ratios, whose sides take turns, suffer less.",
        )


class _Best(msgspec.Struct, frozen=True):
    """The best speed of each machine that shares a cache folder, by its environment's id."""

    machines: dict[str, Speed]
    format: Literal["perflab-best-speed"] = "perflab-best-speed"
    version: int = 1


def machine_speed(clock: Callable[[], float] = time.perf_counter) -> float:
    """Million additions a second in this thread, the median of fifteen loops: 10 to 20 ms."""
    return median(_once(clock) for _ in range(_LOOPS))


def best_speed(known: Path, machine: str, speed: float) -> float:
    """The best of ``speed`` and what the file ``known`` says of ``machine``; kept there."""
    try:
        machines = read_document(known, _Best, SpeedError).machines
    except SpeedError:  # there is none yet, or it is damaged
        machines = {}
    best = max(speed, machines.get(machine, 0.0))
    if best != machines.get(machine):
        try:
            write_document(known, _Best({**machines, machine: best}))
        except OSError:  # a full or read-only disk is no reason to stop
            return best
    return best


def read_speed(path: Path) -> SpeedRecord:
    """Read ``speed.json``; a SpeedError names what is wrong with it."""
    return read_document(path, SpeedRecord, SpeedError)


class Speedometer:
    """Looks at the speed for one notebook and keeps what it saw in the run.

    Args:
        path: the run's ``speed.json``.
        known: the file with the best speed of each machine.
        machine: this one's, an environment's id.
        notebook: which is running.
        measure: million additions a second.
    """

    def __init__(
        self,
        path: Path,
        known: Path,
        machine: str,
        notebook: str,
        measure: Callable[[], float] = machine_speed,
    ) -> None:
        self._path = path
        self._known = known
        self._machine = machine
        self._notebook = notebook
        self._measure = measure
        self._seen: tuple[float, ...] = ()

    def look(self) -> None:
        """Time the loop and write down what came of it."""
        self._seen = (*self._seen, self._measure())
        best = best_speed(self._known, self._machine, max(self._seen))
        try:
            looks = read_speed(self._path).looks
        except SpeedError:  # the first of the run
            looks = {}
        write_document(
            self._path, SpeedRecord(best=best, looks={**looks, self._notebook: self._seen})
        )


def _once(clock: Callable[[], float]) -> float:
    total = 0
    started = clock()
    for number in range(_ADDITIONS):
        total += number
    return _ADDITIONS / (clock() - started) / 1e6


def _span(low: float, high: float) -> str:
    words = f"{low:.0%}", f"{high:.0%}"
    return words[0] if words[0] == words[1] else f"{words[0]} to {words[1]}"
