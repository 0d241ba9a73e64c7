"""A thousand requests miss one key at once: how often its loader runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
import pandas as pd

from perflab.services import Redis
from perflab.studies.cache.crowd import Orders, Report, crowd
from perflab.studies.child import Child
from perflab.studies.loops import in_own_loop
from perflab.studies.prefixes import own_prefix

PROCESSES: Final = 4
KINDS: Final = {False: "plain cache-aside", True: "tiered cache"}


def measure_stampede(server: Redis, readers: int) -> pd.DataFrame:
    """One row a way to cache and a number of processes: loader calls and the slowest answer.

    *Plain* is what many services do: GET, on a miss load, then SET. *Tiered* is the library. A
    ChildError if one of the processes ends before its time.
    """
    rows = []
    for tiered, kind in KINDS.items():
        orders = Orders(readers, tiered, own_prefix(server, "stampede"))
        rows.append(_row(kind, [in_own_loop(crowd(orders, server.url()))]))
    with ExitStack() as stack:
        program = Path(__file__).with_name("crowd.py")
        crowds = [stack.enter_context(Child(program)) for _ in range(PROCESSES)]
        for child in crowds:
            child.say(server.url())
        for tiered, kind in KINDS.items():
            prefix = own_prefix(server, "stampede")
            shares = [(readers + number) // PROCESSES for number in range(PROCESSES)]
            reports = _together(crowds, [Orders(share, tiered, prefix) for share in shares])
            rows.append(_row(kind, reports))
    return pd.DataFrame(rows)


def _row(kind: str, reports: Sequence[Report]) -> dict[str, object]:
    return {
        "kind": kind,
        "processes": len(reports),
        "requests": sum(report.requests for report in reports),
        "answered": sum(report.answered for report in reports),
        "loads": sum(report.loads for report in reports),
        "slowest_ms": 1_000 * max(report.slowest_s for report in reports),
    }


def _together(crowds: Sequence[Child], orders: Sequence[Orders]) -> list[Report]:
    for child, one in zip(crowds, orders, strict=True):
        child.say(msgspec.json.encode(one).decode())
    for child in crowds:
        child.hear()
    for child in crowds:
        child.say("go")
    return [msgspec.json.decode(child.hear(), type=Report) for child in crowds]
