"""From which size on compressing a response pays: the plan's 1 KB against bytes, packets, time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd

from perflab.api.responses.codings import Coding, installed_codings
from perflab.measure.statistics import mean_of_repetitions
from perflab.studies.api.caller import Caller
from perflab.studies.api.ceiling import Served
from perflab.studies.api.parts import IDENTITY, LONG_PAGE
from perflab.studies.api.site import Person, StudyError
from perflab.studies.api.traffic import signed
from perflab.studies.cache.compression import median_s
from perflab.studies.frames import triple

SIZES: Final = (300, 600, 1_024, 1_536, 4_096, 8_192, 32_768)
"""Bytes of a body, roughly: as many whole tasks as fit."""
PROMISED: Final = 1_024
SEGMENT: Final = 1_448
"""Bytes of a TCP segment on Ethernet: 1,500 less the heads of IPv4 and TCP with timestamps."""
_REPETITIONS: Final = 3


def measure_threshold(served: Served, people: Sequence[Person]) -> pd.DataFrame:
    """One row a size and coding, on tasks as the API sends them.

    ``us`` is what compressing once costs; the API keeps what it compressed, so a body that was
    sent before costs nothing. ``pays_below_mbit_s`` is the network on which the saved bytes take
    as long. ``packets`` are TCP segments of head and body together, ``packets_plain`` those of
    the body as it is.
    """
    tasks, head_bytes = _tasks(served, people)
    codings = {coding.name: coding for coding in installed_codings()}
    found = []
    for body in dict.fromkeys(_body(tasks, size) for size in SIZES):
        for name, coding in codings.items():
            packed = len(coding.compress(body))
            costs_us = _costs_us(coding, body)
            saved_bits = 8 * max(0, len(body) - packed)
            cost_s = max(1e-9, 1e-6 * float(np.mean(costs_us)))
            found.append(
                {
                    "bytes": len(body),
                    "method": name,
                    "packed": packed,
                    "saved_percent": 100 * (1 - packed / len(body)),
                    **triple("us", mean_of_repetitions(costs_us)),
                    "pays_below_mbit_s": saved_bits / cost_s / 1e6,
                    "packets_plain": _packets(head_bytes + len(body)),
                    "packets": _packets(head_bytes + packed),
                }
            )
    return pd.DataFrame(found)


def _costs_us(coding: Coding, body: bytes) -> list[float]:
    return [1e6 * median_s(lambda: coding.compress(body)) for _ in range(_REPETITIONS)]


def _tasks(served: Served, people: Sequence[Person]) -> tuple[list[Any], int]:
    """Tasks out of real pages, enough for the largest size, and the bytes of a response's head."""
    tasks: list[Any] = []
    held = head = 0
    with Caller(served.port) as caller:
        for person in people:
            answer = caller.ask(signed(person, "GET", LONG_PAGE, None, IDENTITY))
            if answer.status != 200:
                raise StudyError(f"GET {LONG_PAGE} was answered {answer.status}")
            head = len(answer.head)
            tasks.extend(msgspec.json.decode(answer.body)["tasks"])
            held += len(answer.body)
            if held > SIZES[-1]:
                break
    if not tasks:
        raise StudyError("no user has a task to make bodies of")
    return tasks, head


def _body(tasks: Sequence[Any], size: int) -> bytes:
    """A page of about ``size`` bytes: as many tasks as fit, at least one."""
    chosen: list[Any] = []
    body = b""
    for task in itertools.cycle(tasks):
        longer = msgspec.json.encode({"tasks": [*chosen, task], "next": None})
        if body and len(longer) > size:
            return body
        chosen.append(task)
        body = longer
    raise AssertionError("a cycle has no end")


def _packets(size: int) -> int:
    return math.ceil(size / SEGMENT)
