"""What setup and load of a scenario share: users, and a pool for their requests."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from perflab.load.plan import Wire
from perflab.load.pool import Pool
from perflab.load.recorder import Recorder
from perflab.load.scenarios.feeders import USER
from perflab.load.scenarios.journeys import Head
from perflab.load.scenarios.scenario import Scenario
from perflab.load.scenarios.schedule import Segment
from perflab.load.scenarios.steps import Step


class Users:
    """What each user knows when a flow begins."""

    def __init__(self, scenario: Scenario) -> None:
        self._feeders = scenario.feeders
        self.captured: list[dict[str, Any]] = [{} for _ in range(scenario.users)]

    def values(self, user: int, rows: Sequence[int]) -> dict[str, Any]:
        """A fresh copy of it, with these rows of the feeders."""
        found: dict[str, Any] = {USER: user}
        for feeder, row in zip(self._feeders, rows, strict=True):
            found.update(feeder.rows[row])
        found.update(self.captured[user])
        return found


class Picks:
    """The rows of feeders for flows that no schedule knows: of a setup, of a closed load."""

    def __init__(self, scenario: Scenario, rng: np.random.Generator, segment: Segment) -> None:
        self._feeders = scenario.feeders
        self._rng = rng
        self._turns = itertools.count(segment.index, segment.of)

    def of(self, user: int) -> list[int]:
        """A row of each feeder for the next flow, which is this user's."""
        turn = next(self._turns)
        rows = []
        for feeder in self._feeders:
            match feeder.pick:
                case "user":
                    rows.append(user)
                case "turn":
                    rows.append(turn % len(feeder.rows))
                case _:
                    rows.append(int(self._rng.integers(len(feeder.rows))))
        return rows


def unique_texts(label: str) -> Iterator[str]:
    """Texts that no other run has had, whatever its seed: keys of writes must not come again."""
    begin = f"{label}{time.time_ns():x}{secrets.token_hex(4)}"  # several may begin at one moment
    return (f"{begin}-{number:x}" for number in itertools.count())


def make_pool(
    scenario: Scenario, steps: Sequence[Step], wires: list[Wire], connections: int
) -> tuple[Recorder, Pool]:
    """A pool that sends ``wires``, and keeps of the answers what these steps look at."""
    reads_head = any(step.reads_head for step in steps)
    reads_body = any(step.reads_body for step in steps)
    recorder = Recorder(fields=reads_head, bodies=reads_body)
    pool = Pool(
        wires,
        recorder,
        connections=connections,
        waiting=10_000,
        timeout_s=scenario.timeout_s,
        field=Head() if reads_head else None,
    )
    return recorder, pool
