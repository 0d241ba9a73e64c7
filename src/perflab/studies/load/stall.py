"""Coordinated omission: one server that stops for a while, seen by an open and a closed load."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perflab.load import LoadSamples, Request, Target, run_closed, run_open
from perflab.load.arrivals import constant
from perflab.studies.child import Child
from perflab.studies.load.held import HOST, STOP

RATE_PER_S: Final = 100.0
HELD_US: Final = 5_000
CONNECTIONS: Final = 4
"""Of the open load: plenty for half a request at once, and few while nobody is answered."""
QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}

OPEN: Final = "open, from the schedule"
SENT: Final = "open, from the sending"
CLOSED: Final = "closed loop"


@dataclass(frozen=True)
class Stall:
    """Both loads on the same server during the same stall."""

    opened: LoadSamples
    closed: LoadSamples
    seconds: float
    stopped_s: float


@contextmanager
def holding() -> Iterator[Target]:
    """The server of ``held.py``, in a process of its own."""
    with Child(Path(__file__).with_name("held.py")) as child:
        yield Target(HOST, int(child.hear()))


def measure_stall(seconds: float, stopped_s: float) -> Stall:
    """A constant 100 requests/s, and one user who asks again 5 ms after each answer.

    The server takes 5 ms for each, so that both ask equally often. In the middle it stops.
    """
    with holding() as target, ThreadPoolExecutor(3) as threads:
        request = Request("GET", f"/{HELD_US}")
        stop = threads.submit(_stop, target, (seconds - stopped_s) / 2, stopped_s)
        closed = threads.submit(
            run_closed, target, request, users=1, seconds=seconds,
            think_s=1 / RATE_PER_S - HELD_US / 1e6, timeout_s=2 * seconds,
        )  # fmt: skip
        opened = threads.submit(
            run_open, target, request, constant(RATE_PER_S, seconds=seconds),
            connections=CONNECTIONS, timeout_s=2 * seconds,
        )  # fmt: skip
        stop.result()
        return Stall(opened.result(), closed.result(), seconds, stopped_s)


def _stop(target: Target, after_s: float, seconds: float) -> None:
    time.sleep(after_s)
    connection = http.client.HTTPConnection(target.host, target.port)
    try:
        connection.request("GET", f"{STOP}{round(seconds * 1e6)}")
        connection.getresponse().read()
    finally:
        connection.close()
