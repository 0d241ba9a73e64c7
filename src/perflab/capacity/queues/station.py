"""A station of a simulation: how fast it is with how many present, and who is served at once."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import simpy
from numpy.typing import NDArray

from perflab.capacity.arguments import not_negative, positive, whole
from perflab.capacity.errors import CapacityError

Floats = NDArray[np.float64]
Done = simpy.Event

EVERYBODY: Final = 1_000_000_000
"""Slots for all: nobody waits, everybody is slow (processor sharing)."""


@dataclass(frozen=True)
class Station:
    """A server whose speed depends on how many requests are in it.

    With closed loads at fixed concurrency as its rates it stands in for the whole system that was
    measured: a flow-equivalent server (K. M. Chandy, U. Herzog and L. Woo, Parametric Analysis of
    Queuing Networks, IBM Journal of Research and Development 19(1), 1975). M/M/1 is one rate, one
    slot and exponential work; M/M/c is μ, 2μ, ... cμ and c slots.
    """

    rates_rps: tuple[float, ...]
    """Completions a second with 1, 2, ... requests present; the last one holds from there on."""
    work: Floats | None = None
    """Measured service times in any unit, shape ``(n,)``: only how they spread counts, requests
    draw from them. None for exponential work."""
    slots: int = 1
    """How many are served at once, sharing the rate; the others wait in line."""
    favour: float = 0.0
    """How much those with little work are favoured among those served: a request of work w has the
    weight w^−favour. 0 for equal shares (discriminatory processor sharing: G. Fayolle, I. Mitrani
    and R. Iasnogorodski, Sharing a Processor Among Many Job Classes, Journal of the ACM 27(3),
    1980). Requests that take several turns of a server wait for the others at each of them."""

    def __post_init__(self) -> None:
        if not self.rates_rps:
            raise CapacityError("rates_rps: at least the rate with one request present is needed")
        for rate in self.rates_rps:
            positive("rates_rps", rate)
        whole("slots", self.slots)
        not_negative("favour", self.favour)
        work = self.work
        if work is not None and not (
            work.ndim == 1 and work.size and np.isfinite(work).all() and work.min() > 0
        ):
            raise CapacityError("work: service times are finite numbers above 0, at least one")

    def rate(self, present: int) -> float:
        """Completions a second with so many present, at least one."""
        return self.rates_rps[min(present, len(self.rates_rps)) - 1]

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Work of so many requests, 1 on average."""
        if self.work is None:
            return rng.exponential(1.0, count)
        return rng.choice(self.work / self.work.mean(), size=count)


class Serving:
    """A station at work in a simulation.

    What each request in a slot gets done, for each unit of its weight, goes by one clock, which
    runs at rate/sum of weights: a request leaves when it has come as far as its work. So an event
    costs a heap's logarithm, however many are present.
    """

    def __init__(self, env: simpy.Environment, station: Station) -> None:
        self._env = env
        self._station = station
        self._done = 0.0
        """Work that a request of weight 1 would have got done in a slot from the beginning."""
        self._seen_s = 0.0
        self._served: list[tuple[float, int, float, Done]] = []
        """When each leaves by that clock, its number, its weight, its end."""
        self._weights = 0.0
        self._waiting: deque[tuple[float, Done]] = deque()
        self._numbers = itertools.count()
        self._next: simpy.Event | None = None

    def ask(self, work: float) -> Done:
        """An event that happens when so much work is done for this request."""
        done = self._env.event()
        self._catch_up()
        self._waiting.append((work, done))
        self._go_on()
        return done

    def _catch_up(self) -> None:
        """Set the clock of work to now, at the speed that held since it was last set."""
        now = self._env.now
        if self._served:
            self._done += (now - self._seen_s) * self._speed()
        self._seen_s = now

    def _speed(self) -> float:
        present = len(self._served) + len(self._waiting)
        return self._station.rate(present) / self._weights

    def _weight(self, work: float) -> float:
        favour = self._station.favour
        return work**-favour if favour else 1.0

    def _go_on(self) -> None:
        """Fill the slots, and look again when the first of the served is due to leave."""
        while self._waiting and len(self._served) < self._station.slots:
            work, done = self._waiting.popleft()
            weight = self._weight(work)
            self._weights += weight
            ahead = self._done + work / weight
            heapq.heappush(self._served, (ahead, next(self._numbers), weight, done))
        if not self._served:
            self._next = None
            self._weights = 0.0  # and not what rounding left of it
            return
        ahead_s = max(0.0, self._served[0][0] - self._done) / self._speed()
        self._next = self._env.timeout(ahead_s)
        self._next.callbacks.append(self._leave)

    def _leave(self, event: simpy.Event) -> None:
        if event is not self._next:  # somebody came or went meanwhile
            return
        self._catch_up()
        due, _, weight, done = heapq.heappop(self._served)
        self._done = due  # and not what rounding made of it
        self._weights -= weight
        done.succeed()
        self._go_on()
