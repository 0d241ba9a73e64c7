"""Load generators as programs: each order is a second of load, each answer what it came to.

Told which generator it is by the first line of its input, it then reads ``Order``s and answers
with ``Effort``s, a line of JSON each, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import uvloop

from perflab.load import Request, Target, run_closed, run_open
from perflab.load.arrivals import constant

HOST: Final = "127.0.0.1"
PERFLAB: Final = "perflab"
PUNCTUAL: Final = "perflab, open"
AIOHTTP: Final = "aiohttp"
LOCUST: Final = "Locust's FastHttpUser"


STARTS_S: Final = 5.0
"""How long Locust may take to begin."""


class Order(msgspec.Struct, frozen=True):
    """A load on ``/`` of a server on this machine."""

    port: int
    connections: int
    seconds: float
    rate_per_s: float = 0.0
    """Of an open load."""


class Effort(msgspec.Struct, frozen=True):
    """What a load came to."""

    requests: int
    """Answered with status 200; a generator that got anything else ends instead."""
    cpu_s: float
    """Processor time of the generator, the system's on its behalf included."""
    wall_s: float
    late_p99_s: float = 0.0
    """Of the sending, in an open load."""

    @property
    def per_cpu_s(self) -> float:
        """Requests that one second of processor time makes."""
        return self.requests / self.cpu_s

    @property
    def busy(self) -> float:
        """The share of a core that it kept busy."""
        return self.cpu_s / self.wall_s


class Clock:
    """Processor and wall time since it was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def effort(self, requests: int, late_p99_s: float = 0.0) -> Effort:
        """What so many requests cost."""
        return Effort(
            requests,
            time.process_time() - self._cpu,
            time.perf_counter() - self._wall,
            late_p99_s,
        )


def _perflab() -> Callable[[Order], Effort]:
    def load(order: Order) -> Effort:
        target, request = Target(HOST, order.port), Request("GET", "/")
        clock = Clock()
        samples = run_closed(target, request, users=order.connections, seconds=order.seconds)
        _check(set(samples.statuses) == {200} and samples.answered.all())
        return clock.effort(len(samples))

    return load


def _punctual() -> Callable[[Order], Effort]:
    def load(order: Order) -> Effort:
        due_s = constant(order.rate_per_s, seconds=order.seconds)
        clock = Clock()
        samples = run_open(
            Target(HOST, order.port), Request("GET", "/"), due_s, connections=order.connections
        )
        _check(set(samples.statuses) == {200} and samples.answered.all())
        return clock.effort(len(samples), float(samples.percentiles_s([0.99], "lateness")[0]))

    return load


def _aiohttp() -> Callable[[Order], Effort]:
    import aiohttp

    async def work(order: Order) -> Effort:
        url = f"http://{HOST}:{order.port}/"
        connector = aiohttp.TCPConnector(limit=order.connections)
        async with aiohttp.ClientSession(connector=connector) as session:
            clock = Clock()
            end = time.perf_counter() + order.seconds

            async def ask_again() -> int:
                answered = 0
                while time.perf_counter() < end:
                    async with session.get(url) as response:
                        await response.read()
                        _check(response.status == 200)
                    answered += 1
                return answered

            counts = await asyncio.gather(*(ask_again() for _ in range(order.connections)))
            return clock.effort(sum(counts))

    def load(order: Order) -> Effort:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work(order))

    return load


def _locust() -> Callable[[Order], Effort]:
    import gevent
    import locust
    from locust.env import Environment

    def ask(user: Any) -> None:
        user.client.get("/")

    names = {"tasks": [ask], "wait_time": locust.constant(0)}
    asker: Any = type("Asker", (locust.FastHttpUser,), names)
    environment = Environment(user_classes=[asker])
    runner = environment.create_local_runner()

    def load(order: Order) -> Effort:
        environment.host = f"http://{HOST}:{order.port}"
        environment.stats.clear_all()
        runner.start(order.connections, spawn_rate=order.connections)
        # it begins some time later, and clears what was counted before once more
        deadline = time.perf_counter() + STARTS_S
        while not environment.stats.total.num_requests and time.perf_counter() < deadline:
            gevent.sleep(0.05)
        total = environment.stats.total
        before, clock = total.num_requests, Clock()
        gevent.sleep(order.seconds)
        effort = clock.effort(total.num_requests - before)
        runner.stop()
        _check(effort.requests > 0 and total.num_failures == 0)
        return effort

    return load


GENERATORS: Final = {PERFLAB: _perflab, PUNCTUAL: _punctual, AIOHTTP: _aiohttp, LOCUST: _locust}


def _check(answered_well: object) -> None:
    if not answered_well:
        sys.exit("a request was not answered with status 200, so there is nothing to compare")


def main() -> None:
    """Carry out orders until the input ends."""
    load = GENERATORS[sys.stdin.readline().strip()]()
    for line in sys.stdin:
        effort = load(msgspec.json.decode(line, type=Order))
        print(msgspec.json.encode(effort).decode(), flush=True)


if __name__ == "__main__":
    main()
