"""Users who think and arrivals that do not wait, at a station: a discrete-event simulation."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import simpy
from numpy.typing import NDArray

from perflab.capacity.arguments import not_negative, positive, whole
from perflab.capacity.errors import CapacityError
from perflab.capacity.queues.station import Serving, Station
from perflab.measure.blocks import Blocks
from perflab.measure.statistics import MIN_BLOCKS, Estimate, mean_of_repetitions, quantile_of

Floats = NDArray[np.float64]
Process = Generator[simpy.Event, object, None]

_BATCHES: Final = MIN_BLOCKS
"""Stretches of time that a simulation is cut into: neighbouring requests wait for each other, so
that a stretch and not a request is the unit of every interval."""
_DRAWN: Final = 4_096
_STREAM: Final = 73


@dataclass(frozen=True)
class Simulated:
    """What was seen after the warm-up."""

    ended_s: Floats
    """When each request ended, ascending, seconds from the end of the warm-up, shape ``(n,)``."""
    response_s: Floats
    """What it took, shape ``(n,)``."""
    window_s: float

    @property
    def throughput_rps(self) -> Estimate:
        """Requests that ended a second; Student's interval over stretches of time."""
        each_s = self.window_s / _BATCHES
        return mean_of_repetitions([len(part) / each_s for part in self._parts()])

    @property
    def mean_response_s(self) -> Estimate:
        """From arrival to end; over stretches in which something ended."""
        return mean_of_repetitions([part.mean() for part in self._parts() if len(part)])

    def response_quantile_s(self, q: float) -> Estimate:
        """The response time that a share ``q`` does not exceed."""
        return quantile_of(Blocks.of([part for part in self._parts() if len(part)]), q)

    def _parts(self) -> list[Floats]:
        edges = np.linspace(0.0, self.window_s, _BATCHES + 1)[1:-1]
        return np.split(self.response_s, np.searchsorted(self.ended_s, edges))


def simulate_open(
    station: Station, rate_rps: float, *, seconds: float, warm_s: float = 0.0, seed: int = 0
) -> Simulated:
    """Poisson arrivals, whether earlier ones are answered or not.

    Args:
        station: where they are served.
        rate_rps: arrivals a second.
        seconds: what is looked at.
        warm_s: what goes before that, so that the station is no longer empty.
        seed: of arrivals and work.
    """
    positive("rate_rps", rate_rps)
    run = _Run(station, seconds, warm_s, seed)

    def arrivals() -> Process:
        gaps = run.drawn(lambda count: run.rng.exponential(1 / rate_rps, count))
        while True:
            yield run.env.timeout(next(gaps))
            run.ask()

    run.env.process(arrivals())
    return run.until_end()


def simulate_closed(
    station: Station,
    users: int,
    think_s: float,
    *,
    seconds: float,
    warm_s: float = 0.0,
    seed: int = 0,
) -> Simulated:
    """A fixed number of users, each of whom thinks between an answer and the next request.

    Args:
        station: where they are served.
        users: how many.
        think_s: mean pause, exponential; they begin in the middle of one.
        seconds: what is looked at.
        warm_s: what goes before that.
        seed: of pauses and work.
    """
    whole("users", users)
    not_negative("think_s", think_s)
    run = _Run(station, seconds, warm_s, seed)
    pauses = run.drawn(lambda count: run.rng.exponential(think_s, count))

    def user() -> Process:
        while True:
            if think_s:
                yield run.env.timeout(next(pauses))
            yield run.ask()

    for _ in range(users):
        run.env.process(user())
    return run.until_end()


def simulate_due(station: Station, due_s: Floats, *, seed: int = 0) -> Floats:
    """A schedule of arrivals at an idle station; what each of them takes, all waited for.

    Args:
        station: where they are served.
        due_s: when each arrives, seconds, ascending, shape ``(n,)``.
        seed: of their work.

    Returns:
        Response times in seconds, in the order of arrival, shape ``(n,)``.
    """
    if len(due_s) and not (
        np.isfinite(due_s).all() and due_s[0] >= 0 and np.all(np.diff(due_s) >= 0)
    ):
        raise CapacityError("due_s: arrivals are finite times from 0 on, in ascending order")
    env = simpy.Environment()
    serving = Serving(env, station)
    # a stream of its own: the schedule may come from the same seed, and long work must not meet
    # long gaps
    work = station.draw(np.random.default_rng([seed, _STREAM]), len(due_s)).tolist()
    response_s = np.empty(len(due_s))

    def arrivals() -> Process:
        for number, due in enumerate(due_s.tolist()):
            if due > env.now:
                yield env.timeout(due - env.now)
            serving.ask(work[number]).callbacks.append(partial(note, number, due))

    def note(number: int, due: float, _: simpy.Event) -> None:
        response_s[number] = env.now - due

    env.process(arrivals())
    env.run()
    return response_s


class _Run:
    """One simulation: its clock, its station, and what ended."""

    def __init__(self, station: Station, seconds: float, warm_s: float, seed: int) -> None:
        self.env = simpy.Environment()
        self.rng = np.random.default_rng(seed)
        self._seconds = positive("seconds", seconds)
        self._warm_s = not_negative("warm_s", warm_s)
        self._serving = Serving(self.env, station)
        self._work = self.drawn(lambda count: station.draw(self.rng, count))
        self._ended_s = array("d")
        self._response_s = array("d")

    def drawn(self, draw: Callable[[int], Floats]) -> Iterator[float]:
        """Numbers without end, drawn many at a time."""
        while True:
            yield from draw(_DRAWN).tolist()

    def ask(self) -> simpy.Event:
        """A request's end; its response time is noted then."""
        asked_s = self.env.now
        done = self._serving.ask(next(self._work))

        def note(_: simpy.Event) -> None:
            ended_s = self.env.now - self._warm_s
            if ended_s >= 0:
                self._ended_s.append(ended_s)
                self._response_s.append(self.env.now - asked_s)

        done.callbacks.append(note)
        return done

    def until_end(self) -> Simulated:
        """Let it go on to its end."""
        self.env.run(until=self._warm_s + self._seconds)
        return Simulated(np.array(self._ended_s), np.array(self._response_s), self._seconds)
