"""What being watched costs the API: in every request, and in every scrape."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from perflab.load import Request, Target
from perflab.measure.comparison import Comparison, compare
from perflab.measure.experiment import Arm, Draw, Experiment, Operation, Params
from perflab.measure.statistics import Estimate, Interval, mean_of_repetitions
from perflab.studies.api.caller import Caller
from perflab.studies.api.ceiling import Served
from perflab.studies.api.served import HOST
from perflab.studies.api.site import Person, StudyError
from perflab.studies.api.traffic import PAGE, signed
from perflab.studies.monitor.pause import BARE, WATCHED

EACH: Final = 50
"""Requests of one person at most, well inside their quota."""
FEWEST: Final = 16
SCRAPES: Final = 20
PRODUCTION_EVERY_S: Final = 15.0
"""How often Prometheus reads figures in the example of its documentation."""


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """The API unwatched and watched."""

    requests: Comparison
    """One page out of the cache: before without counting, after with it."""
    scrape_ms: Estimate
    """Of one scrape, with the API idle: nothing else is answered meanwhile."""
    scrape_bytes: int

    @property
    def share_percent(self) -> float:
        """Of a core's time, for scrapes every 15 seconds."""
        if not isinstance(self.scrape_ms, Interval):
            return math.nan
        return 100 * self.scrape_ms.estimate / 1e3 / PRODUCTION_EVERY_S


def measure_overhead(
    served: Mapping[str, Served], people: Sequence[Person], rounds: int, calls: int, seed: int
) -> Overhead:
    """Interleaved blocks of cached pages, and a few scrapes.

    A StudyError tells of an answer that is not what it should be.
    """
    count = min(len(people), max(FEWEST, 2 * rounds * calls // EACH))
    wires = [signed(person, "GET", PAGE).render(_ANY) for person in people[:count]]
    turns = itertools.cycle(wires)
    with Caller(served[BARE].port) as bare, Caller(served[WATCHED].port) as watched:
        for caller, wire in itertools.product((bare, watched), wires):
            _checked(caller, wire)
        samples = Experiment(
            before=_arm("before", bare),
            after=_arm("after", watched),
            control=_arm("after again", watched),
            operations=[
                Operation("a cached page", "page", lambda _rng: Draw({"wire": next(turns)}))
            ],
            rounds=rounds,
            calls=calls,
            warmup=0,
            seed=seed,
        ).run(None)
        scrapes, size = _scrapes(watched)
    return Overhead(
        requests=compare(samples), scrape_ms=mean_of_repetitions(scrapes), scrape_bytes=size
    )


_ANY: Final = Target(HOST, 80)
"""Whom a request is rendered for: both servers get the same bytes."""


def _arm(name: str, caller: Caller) -> Arm:
    def call(_operation: Operation, params: Params) -> int:
        wire: Any = params["wire"]
        return _checked(caller, wire)

    return Arm(name, call)


def _checked(caller: Caller, wire: bytes) -> int:
    answer = caller.send(wire)
    if answer.status != 200:
        raise StudyError(f"{PAGE} was answered {answer.status}")
    return answer.bytes


def _scrapes(caller: Caller) -> tuple[list[float], int]:
    wire = Request("GET", "/metrics").render(_ANY)
    size, took = 0, []
    for _ in range(SCRAPES):
        began = time.perf_counter()
        size = _checked(caller, wire)
        took.append(1e3 * (time.perf_counter() - began))
    return took, size
