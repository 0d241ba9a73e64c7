"""Before and after side by side: randomised interleaved blocks with an A/A control."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from perflab.errors import PerflabError
from perflab.measure.samples import ARMS, Samples

Params = Mapping[str, object]
Clock = Callable[[], float]
Progress = Callable[[str, int, int], None]


class ExperimentError(PerflabError):
    """An experiment cannot be run as described."""


class Drawn(Protocol):
    """Parameters of one call and how much of the data they touch."""

    @property
    def params(self) -> Params:
        """By name."""

    @property
    def selectivity(self) -> str:
        """A label such as ``light``, ``typical``, ``heavy``."""


@dataclass(frozen=True)
class Draw:
    """The plain ``Drawn``."""

    params: Params = field(default_factory=dict)
    selectivity: str = "typical"


@dataclass(frozen=True)
class Operation:
    """One thing that every arm does, such as a query; a group is reported as the mix of its own."""

    name: str
    group: str
    draw: Callable[[np.random.Generator], Drawn]


@dataclass(frozen=True)
class Arm:
    """One system under test; ``call`` does the operation and returns how many rows came back."""

    name: str
    call: Callable[[Operation, Params], int]
    before_block: Callable[[], None] | None = None
    """Untimed, at the start of each stay."""
    before_call: Callable[[], None] | None = None
    """Untimed, before each timed call, e.g. to evict the server's buffers."""


@dataclass(frozen=True)
class _Visit:
    """One operation's share of a round, the same for every arm."""

    position: int
    draws: tuple[Drawn, ...]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Visits every arm once a round and times every operation there.

    ``control`` is the *after* system over a connection of its own: control/after is the A/A
    ratio, which shows what the set-up itself makes of no difference. A stay in an arm is a
    block: for each operation, in an order shuffled for the round, ``warmup`` uncounted calls and
    then ``calls`` timed ones. All arms of a round get the same parameters in the same order.
    """

    before: Arm
    after: Arm
    control: Arm
    operations: Sequence[Operation]
    rounds: int
    calls: int
    warmup: int = 1
    seed: int = 0
    clock: Clock = time.perf_counter

    def __post_init__(self) -> None:
        for name, least in (("rounds", 1), ("calls", 1), ("warmup", 0)):
            if getattr(self, name) < least:
                raise ExperimentError(f"{name}={getattr(self, name)}: must be at least {least}")
        names = [operation.name for operation in self.operations]
        if not names:
            raise ExperimentError("an experiment needs at least one operation")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ExperimentError(f"operation {twice!r} is listed twice; names must differ")

    def run(self, progress: Progress | None = None) -> Samples:
        """Run every round; the same seed gives the same order, parameters and labels."""
        order_rng, draw_rng = (
            np.random.default_rng([self.seed, stream]) for stream in (_ORDER, _DRAWS)
        )
        recorder = _Recorder(self)
        for number, order in enumerate(_arm_orders(order_rng, self.rounds)):
            if progress:
                progress(f"round {number + 1} of {self.rounds}", number, self.rounds)
            visits = self._visits(draw_rng)
            for arm in order:
                recorder.expect(number, arm, visits)
                self._stay((self.before, self.after, self.control)[arm], visits, recorder)
        if progress:
            progress("", self.rounds, self.rounds)
        return recorder.samples()

    def _visits(self, rng: np.random.Generator) -> tuple[_Visit, ...]:
        """One round's operations in order with their parameters, drawn before any timing."""
        return tuple(
            _Visit(
                int(position),
                tuple(self.operations[position].draw(rng) for _ in range(self.warmup + self.calls)),
            )
            for position in rng.permutation(len(self.operations))
        )

    def _stay(self, arm: Arm, visits: Sequence[_Visit], recorder: _Recorder) -> None:
        if arm.before_block:
            arm.before_block()
        clock, call, before_call = self.clock, arm.call, arm.before_call
        with without_gc():
            for visit in visits:
                operation = self.operations[visit.position]
                for drawn in visit.draws[: self.warmup]:
                    call(operation, drawn.params)
                for drawn in visit.draws[self.warmup :]:
                    params = drawn.params
                    if before_call:
                        before_call()
                    started = clock()
                    rows = call(operation, params)
                    recorder.add(clock() - started, rows)


_ORDER, _DRAWS = 1, 2
"""Streams of the seed, so that more draws do not change the order of the arms."""


def _arm_orders(rng: np.random.Generator, rounds: int) -> Iterator[tuple[int, ...]]:
    """A random order of arms per round; all six orders occur before one recurs.

    Whoever comes first in a round meets colder caches; balance keeps that out of the ratio.
    """
    orders = list(itertools.permutations(range(len(ARMS))))
    for start in range(0, rounds, len(orders)):
        for position in rng.permutation(len(orders))[: rounds - start]:
            yield orders[position]


@contextmanager
def without_gc() -> Iterator[None]:
    """No cyclic garbage collection in the body.

    A collection starts when allocations pass a threshold, and bills whichever call is under the
    clock for all garbage of the kernel, tens of milliseconds in a notebook. Young garbage is
    collected before the body instead.
    """
    was_enabled = gc.isenabled()
    gc.collect(1)
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Recorder:
    """Preallocated columns; ``add`` does two array writes, all else is written beforehand."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        size = experiment.rounds * len(ARMS) * len(experiment.operations) * experiment.calls
        self._round = np.empty(size, np.int32)
        self._arm = np.empty(size, np.int8)
        self._operation = np.empty(size, np.int16)
        self._selectivity = np.empty(size, np.int8)
        self._call = np.empty(size, np.int16)
        self._latency_s = np.zeros(size)
        self._rows = np.zeros(size, np.int64)
        self._labels: dict[str, int] = {}
        self._written = 0

    def expect(self, number: int, arm: int, visits: Sequence[_Visit]) -> None:
        """Describe the coming block's rows before its timing starts."""
        calls, warmup = self._experiment.calls, self._experiment.warmup
        at = self._written
        block = slice(at, at + len(visits) * calls)
        self._round[block] = number
        self._arm[block] = arm
        for visit in visits:
            rows = slice(at, at + calls)
            self._operation[rows] = visit.position
            self._call[rows] = np.arange(calls)
            self._selectivity[rows] = [
                self._labels.setdefault(drawn.selectivity, len(self._labels))
                for drawn in visit.draws[warmup:]
            ]
            at += calls

    def add(self, latency_s: float, rows: int) -> None:
        self._latency_s[self._written] = latency_s
        self._rows[self._written] = rows
        self._written += 1

    def samples(self) -> Samples:
        experiment = self._experiment
        return Samples(
            round=self._round,
            arm=self._arm,
            operation=self._operation,
            selectivity=self._selectivity,
            call=self._call,
            latency_s=self._latency_s,
            rows=self._rows,
            operations=tuple(operation.name for operation in experiment.operations),
            groups=tuple(operation.group for operation in experiment.operations),
            selectivities=tuple(self._labels),
            arms=(experiment.before.name, experiment.after.name, experiment.control.name),
            seed=experiment.seed,
        )
