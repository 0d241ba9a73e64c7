"""Generators against the same nginx, one after the other in rounds of random order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import psutil

from perflab.measure.statistics import Estimate, mean_of_repetitions
from perflab.progress import Step
from perflab.report.not_run import NotRun
from perflab.services import Nginx
from perflab.studies.api.cores import confined, listening, two_cores
from perflab.studies.child import Child
from perflab.studies.peers.contest import ContestError
from perflab.studies.peers.generator.driven import (
    AIOHTTP,
    HOST,
    LOCUST,
    PERFLAB,
    PUNCTUAL,
    Effort,
    Order,
)

WRK: Final = "wrk"
AGAIN: Final = "perflab again"
CONNECTIONS: Final = 64
LATE_RPS: Final = 1_000.0
LATE_CONNECTIONS: Final = 16
ROUNDS: Final = 5
SECONDS: Final = 1.0
"""Of one load; wrk takes whole ones only."""

BUSY: Final = 0.95
"""The share of its core that a generator must have kept busy, or it says nothing of it."""
TRIES: Final = 4
"""Loads of one round, until the machine lets the generator have its core."""

Generate = Callable[[], Effort]


@dataclass(frozen=True)
class Race:
    """The efforts of every generator, a round each; and those of ours at a fixed rate."""

    efforts: dict[str, tuple[Effort, ...]]
    punctual: tuple[Effort, ...]

    def per_cpu_s(self, name: str) -> Estimate:
        """Requests that a generator makes of one second of processor time."""
        return mean_of_repetitions([effort.per_cpu_s for effort in self.efforts[name]])

    def ours_over(self, name: str) -> Estimate:
        """Ours over a rival's, round by round."""
        pairs = zip(self.efforts[PERFLAB], self.efforts[name], strict=True)
        return mean_of_repetitions([ours.per_cpu_s / other.per_cpu_s for ours, other in pairs])

    def busy(self, name: str) -> float:
        """How busy a generator kept its core, in the round in which that was least."""
        return min(effort.busy for effort in self.efforts[name])

    @property
    def late_ms(self) -> Estimate:
        """The 99th percentile of our lateness in sending at 1,000 requests a second."""
        return mean_of_repetitions([effort.late_p99_s * 1e3 for effort in self.punctual])


def run_race(
    nginx: Nginx | NotRun,
    rounds: int,
    seed: int,
    step: Step | None = None,
    *,
    seconds: float = SECONDS,
) -> Race:
    """Let each generator load an nginx that answers 200 by itself, on a core of its own.

    A ContestError where there is no nginx, or a generator got other answers.
    """
    if isinstance(nginx, NotRun):
        raise ContestError(f"the generators need a server to load: {nginx}")
    nginx.serve(f"server {{ listen {nginx.host}:{nginx.port}; location / {{ return 200 ok; }} }}")
    cores = two_cores()
    order = Order(nginx.port, CONNECTIONS, seconds)
    efforts: dict[str, list[Effort]] = {}
    punctual: list[Effort] = []
    with ExitStack() as stack:
        stack.enter_context(confined(listening(nginx.port), cores.served))
        # what is started here is started on this core, and stays there
        stack.enter_context(confined([psutil.Process()], cores.generator))
        sides = stack.enter_context(_sides(order))
        late = stack.enter_context(_child(PUNCTUAL))
        steady = Order(nginx.port, LATE_CONNECTIONS, seconds, LATE_RPS)
        rng = np.random.default_rng(seed)
        for number in range(rounds):
            for name in rng.permutation(list(sides)).tolist():
                if step is not None:
                    step(name, number, rounds)
                efforts.setdefault(name, []).append(busy_effort(sides[name]))
            punctual.append(_ask(late, steady))
    return Race({name: tuple(found) for name, found in efforts.items()}, tuple(punctual))


def busy_effort(generate: Generate, tries: int = TRIES) -> Effort:
    """The first load in which the generator kept its core busy; else the busiest of them.

    A second in which server or machine kept it waiting is made again, since it measures those.
    """
    busiest = generate()
    for _ in range(tries - 1):
        if busiest.busy >= BUSY:
            break
        busiest = max(busiest, generate(), key=lambda effort: effort.busy)
    return busiest


@contextmanager
def _sides(order: Order) -> Iterator[Mapping[str, Generate]]:
    """What makes each generator load once; ours twice, and wrk where it is installed."""
    with ExitStack() as stack:
        children = {
            name: stack.enter_context(_child(side))
            for name, side in {
                PERFLAB: PERFLAB,
                AGAIN: PERFLAB,
                AIOHTTP: AIOHTTP,
                LOCUST: LOCUST,
            }.items()
        }
        sides: dict[str, Generate] = {
            name: lambda child=child: _ask(child, order)  # type: ignore[misc]
            for name, child in children.items()
        }
        if (program := shutil.which(WRK)) is not None:
            sides[WRK] = lambda: _wrk(program, order)
        yield sides


@contextmanager
def _child(name: str) -> Iterator[Child]:
    with Child(Path(__file__).with_name("driven.py")) as child:
        child.say(name)
        yield child


def _ask(child: Child, order: Order) -> Effort:
    child.say(msgspec.json.encode(order).decode())
    return msgspec.json.decode(child.hear(), type=Effort)


def _wrk(program: str, order: Order) -> Effort:
    """One load by wrk, with the processor time that the system has counted for it."""
    url = f"http://{HOST}:{order.port}/"
    command = [program, "-t1", f"-c{order.connections}", f"-d{max(round(order.seconds), 1)}s", url]
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=said)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    counted = re.search(r"(\d+) requests in", text)
    if counted is None or "Non-2xx" in text or process.returncode:
        raise ContestError(f"wrk got no good answers, so there is nothing to compare: {text!r}")
    return Effort(int(counted[1]), used.ru_utime + used.ru_stime, wall_s)
