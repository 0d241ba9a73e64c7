"""The users of a scenario on their way through its flows, one outcome after the other."""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Callable, Iterator
from typing import Any, Final

from perflab.load.connection import Field
from perflab.load.outcomes import ANSWERED
from perflab.load.plan import Wire
from perflab.load.recorder import Recorder
from perflab.load.request import Target
from perflab.load.scenarios.extract import Answer
from perflab.load.scenarios.figures import GOOD, verdict_of
from perflab.load.scenarios.steps import Step

UNKNOWN: Final = -1


class Head(Field):
    """Keeps a whole head, for whoever looks several fields up."""

    def __init__(self) -> None:
        super().__init__("any")

    def value(self, head: bytes) -> bytes:
        """All of it."""
        return head


class Journey:
    """One user in one flow."""

    __slots__ = ("at", "steps", "user", "values")

    def __init__(self, user: int, steps: tuple[Step, ...], values: dict[str, Any]) -> None:
        self.user = user
        self.steps = steps
        self.values = values
        self.at = 0
        """Which step is next, or under way."""

    @property
    def step(self) -> Step:
        """That step."""
        return self.steps[self.at]


class Journeys:
    """Sends the steps of journeys and judges what comes back; a row a request.

    Args:
        target: the server.
        recorder: whose rows are judged.
        wires: grows by the request of each row; the pool takes it from there.
        unique: texts of which none comes twice.
        ended: is told of each journey that is over: its last row and the time.
    """

    def __init__(
        self,
        target: Target,
        recorder: Recorder,
        wires: list[Wire],
        unique: Iterator[str],
        ended: Callable[[Journey, int, float], None],
    ) -> None:
        self._target = target
        self._recorder = recorder
        self._wires = wires
        self._unique = unique
        self._ended = ended
        self._under_way: dict[int, Journey] = {}
        self._waiting: list[tuple[float, int, Journey]] = []
        self._number = 0
        self.step = array("h")
        self.user = array("l")
        self.verdict = array("b")
        self.wake: Callable[[], None] = lambda: None
        """Is called when something new is due."""

    @property
    def next_due(self) -> float:
        """When the next step is due of those that wait; infinite where none does."""
        return self._waiting[0][0] if self._waiting else math.inf

    def wait(self, journey: Journey, due: float) -> None:
        """The journey's step is sent at ``due``."""
        self._number += 1  # journeys do not compare
        heapq.heappush(self._waiting, (due, self._number, journey))
        self.wake()

    def pop(self) -> Journey:
        """The journey whose step is due next."""
        return heapq.heappop(self._waiting)[2]

    def write(self, journey: Journey) -> None:
        """Put the journey's request where the pool will look for the next row's."""
        values = journey.values
        step = journey.step
        if "unique" in step.names:
            values = {**values, "unique": next(self._unique)}
        self._wires.append(step.wire(self._target, values))
        self._under_way[len(self._wires) - 1] = journey
        self.step.append(step.number)
        self.user.append(journey.user)
        self.verdict.append(UNKNOWN)

    def outcome(self, row: int, ended: float) -> None:
        """Judge a row; send its journey on, or end it."""
        journey = self._under_way.pop(row)
        verdict = self.verdict[row] = self._judge(row, journey)
        journey.at += 1
        if verdict == GOOD and journey.at < len(journey.steps):
            self.wait(journey, ended + journey.step.think_s)
        else:
            self._ended(journey, row, ended)

    def _judge(self, row: int, journey: Journey) -> int:
        recorder = self._recorder
        outcome = recorder.outcome[row]
        if outcome != ANSWERED:
            return verdict_of(outcome)
        head = body = b""
        if recorder.fields is not None:
            head, recorder.fields[row] = recorder.fields[row] or b"", None
        if recorder.bodies is not None:
            body, recorder.bodies[row] = recorder.bodies[row] or b"", None
        return journey.step.judge(recorder.status[row], Answer(head, body), journey.values)
