"""Queues whose answer is known: M/M/1, M/M/c, and users who think between their requests.

L. Kleinrock, Queueing Systems, volume I (Wiley, 1975), §3.2, 3.5 and 3.8; D. Gross et al.,
Fundamentals of Queueing Theory (Wiley, 2008), §2.3 for the response time of M/M/c.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from perflab.capacity.arguments import not_negative, positive, whole
from perflab.capacity.errors import CapacityError


@dataclass(frozen=True)
class Queue:
    """M/M/c in its steady state: Poisson arrivals, exponential service, first come first served."""

    arrival_rps: float
    service_s: float
    """Mean service time."""
    servers: int

    @property
    def utilisation(self) -> float:
        """The share of the servers' time that is work, ρ = λs/c."""
        return self.arrival_rps * self.service_s / self.servers

    @property
    def waiting_probability(self) -> float:
        """That an arrival finds all servers busy (Erlang's C)."""
        offered = self.arrival_rps * self.service_s
        lost = 1.0  # Erlang's B, by its recursion over the number of servers
        for number in range(1, self.servers + 1):
            lost = offered * lost / (number + offered * lost)
        return lost / (1 - self.utilisation * (1 - lost))

    @property
    def mean_wait_s(self) -> float:
        """From arrival to the start of service."""
        return self.waiting_probability / self._spare_rps

    @property
    def mean_response_s(self) -> float:
        """From arrival to the end of service."""
        return self.mean_wait_s + self.service_s

    @property
    def mean_present(self) -> float:
        """Requests that wait or are served, by Little's law."""
        return self.arrival_rps * self.mean_response_s

    def longer_than(self, seconds: float) -> float:
        """The probability of a response time above ``seconds``."""
        rate, spare = 1 / self.service_s, self._spare_rps
        waits, apart = self.waiting_probability, spare - rate
        if abs(apart) < 1e-9 * rate:
            return math.exp(-rate * seconds) * (1 + waits * rate * seconds)
        extra = waits * rate * (math.exp(-rate * seconds) - math.exp(-spare * seconds)) / apart
        return math.exp(-rate * seconds) + extra

    def response_quantile_s(self, q: float) -> float:
        """The response time that a share ``q`` does not exceed."""
        if not 0 < q < 1:
            raise CapacityError(f"q={q:g}: a quantile lies between 0 and 1")
        most = self.mean_response_s
        while self.longer_than(most) > 1 - q:
            most *= 2
        return float(brentq(lambda t: self.longer_than(t) - (1 - q), 0.0, most, xtol=1e-12))

    @property
    def _spare_rps(self) -> float:
        return self.servers / self.service_s - self.arrival_rps


def multi_server(arrival_rps: float, service_s: float, servers: int) -> Queue:
    """M/M/c; a CapacityError where more arrives than can be served, which has no steady state."""
    queue = Queue(
        positive("arrival_rps", arrival_rps),
        positive("service_s", service_s),
        whole("servers", servers),
    )
    if queue.utilisation >= 1:
        raise CapacityError(
            f"arrival_rps={arrival_rps:g}: {servers} servers of {service_s:g} s each can do less"
            f" than {servers / service_s:g} requests/s; the queue would grow without end"
        )
    return queue


def single_server(arrival_rps: float, service_s: float) -> Queue:
    """M/M/1."""
    return multi_server(arrival_rps, service_s, 1)


@dataclass(frozen=True)
class ClosedLoad:
    """A fixed number of users in its steady state."""

    throughput_rps: float
    mean_response_s: float


def closed(users: int, think_s: float, rates_rps: Sequence[float]) -> ClosedLoad:
    """Users who think for an exponential time between requests, at a station of exponential work.

    A birth-death chain over the number present: it is left at ``rates_rps`` and entered at
    (users − present)/think_s. Response time by Little's law, N/X − Z.

    Args:
        users: N, at least 1.
        think_s: Z, the mean pause; 0 keeps everybody at the station.
        rates_rps: completions a second with 1, 2, ... present; the last one holds from there on.
    """
    whole("users", users)
    not_negative("think_s", think_s)
    if not len(rates_rps):
        raise CapacityError("rates_rps: at least the rate with one request present is needed")
    for rate in rates_rps:
        positive("rates_rps", rate)
    present = np.arange(1, users + 1)
    leaving = np.asarray(rates_rps, dtype=np.float64)[np.minimum(present, len(rates_rps)) - 1]
    if think_s == 0:
        throughput = float(leaving[-1])
        return ClosedLoad(throughput, users / throughput)
    entering = (users - present + 1) / think_s
    logs = np.concatenate([[0.0], np.cumsum(np.log(entering / leaving))])
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    throughput = float((shares[1:] * leaving).sum())
    return ClosedLoad(throughput, users / throughput - think_s)
