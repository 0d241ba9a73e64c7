"""One hot channel: deliveries that a second of a hub's CPU time is worth, ours beside broadcast."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import psutil

from perflab.measure.statistics import Estimate, NotEstimable, mean_of_repetitions
from perflab.progress import Step
from perflab.realtime.hub import HubSettings
from perflab.realtime.hub.apart import HubProcess
from perflab.realtime.log import topic_of
from perflab.realtime.tokens import Tokens
from perflab.services import Redis
from perflab.studies.child import Child
from perflab.studies.peers.contest import ContestError
from perflab.studies.peers.hub import broadcasting, listeners
from perflab.studies.peers.hub.broadcasting import BroadcastOrder, Spent
from perflab.studies.peers.hub.listeners import Heard, ListenOrder
from perflab.studies.realtime.publishing import Stream, publishing
from perflab.studies.realtime.stage import Stage, stage

LISTENERS: Final = 1_000
BROADCAST: Final = "websockets.broadcast()"
OURS: Final = "hub"
AGAIN: Final = "hub again"
ROUNDS: Final = 4
SECONDS: Final = 0.7
BROADCAST_RATE: Final = 50.0
"""Messages a second: what one costs does not depend on how many there are."""
RATE: Final = 600.0
"""Of ours in the race; what a message costs falls with their number."""
SWEEP: Final = (25.0, 50.0, 100.0, 200.0)
"""Further rates of ours."""
BROADCAST_CHANNEL: Final = "broadcast"
_NO_PINGS_S: Final = 3_600.0
"""The rival sends none either."""
_ANSWERS_S: Final = 30.0
_SEND_S: Final = 30.0
_ARRIVE_S: Final = 5.0
_LOOK_S: Final = 0.05
_TOKEN_S: Final = 3_600.0


class Visit(NamedTuple):
    """Some messages sent to everybody."""

    deliveries: int
    cpu_s: float
    """Of the hub's process."""
    p99_ms: float

    @property
    def per_cpu_s(self) -> float:
        """Deliveries that one second of processor time makes."""
        return self.deliveries / self.cpu_s


@dataclass(frozen=True)
class Fanout:
    """The visits of each side at each rate, a round each."""

    visits: dict[tuple[str, float], tuple[Visit, ...]]
    listening: int

    def per_cpu_s(self, side: str, rate: float) -> Estimate:
        """Deliveries of a CPU second."""
        return mean_of_repetitions([one.per_cpu_s for one in self.visits[side, rate]])

    def p99_ms(self, side: str, rate: float) -> Estimate:
        """From when a message was due until it was handed over."""
        return mean_of_repetitions([one.p99_ms for one in self.visits[side, rate]])

    def times(self, side: str, rate: float) -> Estimate:
        """How many times the rival's deliveries a side makes of a CPU second, round by round."""
        return mean_of_repetitions(self._times(side, rate))

    @property
    def aa(self) -> Estimate:
        """Ours over ours again, which should be 1."""
        ours, again = self.visits[OURS, RATE], self.visits[AGAIN, RATE]
        pairs = zip(ours, again, strict=True)
        return mean_of_repetitions([one.per_cpu_s / other.per_cpu_s for one, other in pairs])

    @property
    def rates(self) -> list[float]:
        """Of ours."""
        return sorted(rate for side, rate in self.visits if side == OURS)

    def rate_of(self, times: float) -> Estimate:
        """The rate from which ours makes so many times the deliveries of a CPU second."""
        leads = zip(*(self._times(OURS, rate) for rate in self.rates), strict=True)
        found = [crossing(self.rates, lead, times) for lead in leads]
        if None in found:
            return NotEstimable("no rate that was tried lies on the other side in every round")
        return mean_of_repetitions([rate for rate in found if rate is not None])

    def _times(self, side: str, rate: float) -> list[float]:
        pairs = zip(self.visits[side, rate], self.visits[BROADCAST, BROADCAST_RATE], strict=True)
        return [one.per_cpu_s / rival.per_cpu_s for one, rival in pairs]


def crossing(rates: Sequence[float], leads: Sequence[float], times: float) -> float | None:
    """Where a lead that grows with the rate first reaches ``times``, interpolated on log scales.

    None where it is reached at the lowest rate already, or nowhere.
    """
    for number in range(1, len(rates)):
        before, after = leads[number - 1], leads[number]
        if before < times <= after:
            share = math.log(times / before) / math.log(after / before)
            return float(rates[number - 1] * (rates[number] / rates[number - 1]) ** share)
    return None


class _Side:
    """A hub's process and the program of those who listen to it.

    Args:
        name: for messages.
        channel: that it passes on.
        opened: where to publish.
        cpu_s: asks the process for its processor time.
        order: of the listeners.
    """

    def __init__(
        self, name: str, channel: str, opened: Stage, cpu_s: Callable[[], float], order: ListenOrder
    ) -> None:
        self.name = name
        self._channel = channel
        self._opened = opened
        self._cpu_s = cpu_s
        self._listening = opened.stack.enter_context(Child(Path(listeners.__file__)))
        _tell(self._listening, order)

    def gathered(self) -> None:
        """Return when all listen."""
        self._listening.hear(_ANSWERS_S)

    def visit(self, rate: float, seconds: float) -> Visit:
        """Publish, wait until everybody has everything, and see what it cost.

        A ContestError where a listener did not get each message once.
        """
        self._ask(listeners.BEGIN.decode())
        before = self._cpu_s()
        sent = publishing(self._opened, [Stream((self._channel,), rate)], seconds).result(_SEND_S)
        due = len(sent.sent)
        until = time.monotonic() + _ARRIVE_S
        while min((heard := self._ask()).counts) < due and time.monotonic() < until:
            time.sleep(_LOOK_S)
        cpu_s = self._cpu_s() - before
        if set(heard.counts) != {due} or heard.twice or not due:
            raise ContestError(
                f"{self.name}: {due} messages at {rate:g}/s, and listeners got {min(heard.counts)}"
                f" to {max(heard.counts)} within {_ARRIVE_S:g} s, {heard.twice} of them twice, so"
                " there is nothing to compare; run it again on a quiet machine"
            )
        return Visit(sum(heard.counts), cpu_s, heard.p99_ms)

    def _ask(self, line: str = "heard") -> Heard:
        self._listening.say(line)
        return msgspec.json.decode(self._listening.hear(_ANSWERS_S), type=Heard)


def run_fanout(
    redis: Redis,
    rounds: int,
    seed: int,
    step: Step | None = None,
    *,
    listening: int = LISTENERS,
    seconds: float = SECONDS,
) -> Fanout:
    """Visit the sides at their rates, in rounds of random order."""
    plan = [(BROADCAST, BROADCAST_RATE), (OURS, RATE), (AGAIN, RATE)]
    plan += [(OURS, rate) for rate in SWEEP]
    visits: dict[tuple[str, float], list[Visit]] = {each: [] for each in plan}
    rng = np.random.default_rng(seed)
    with _sides(redis, listening) as sides:
        for number in range(rounds):
            for index in rng.permutation(len(plan)):
                name, rate = plan[index]
                if step is not None:
                    step(f"{name}, {rate:g}/s", number, rounds)
                visits[name, rate].append(sides[name].visit(rate, seconds))
    return Fanout({each: tuple(found) for each, found in visits.items()}, listening)


@contextmanager
def _sides(redis: Redis, listening: int) -> Iterator[Mapping[str, _Side]]:
    """Two hubs of ours and the rival, all on the core that the stage gives hubs."""
    settings = HubSettings(
        max_connections=listening, heartbeat_s=_NO_PINGS_S, timeout_s=_NO_PINGS_S
    )
    with stage(redis, settings, hubs=2) as opened:
        token = Tokens(opened.secret).sign("1", _TOKEN_S)
        rival = opened.stack.enter_context(Child(Path(broadcasting.__file__)))
        cores = psutil.Process(opened.hubs[0].pid).cpu_affinity()
        _tell(
            rival,
            BroadcastOrder(
                redis=opened.redis_url,
                topic=topic_of(opened.prefix, BROADCAST_CHANNEL),
                connections=listening,
                cores=cores,
            ),
        )

        def rivals_cpu_s() -> float:
            rival.say("spent")
            return msgspec.json.decode(rival.hear(_ANSWERS_S), type=Spent).cpu_s

        order = ListenOrder(url=rival.hear(_ANSWERS_S), listeners=listening)
        sides = {BROADCAST: _Side(BROADCAST, BROADCAST_CHANNEL, opened, rivals_cpu_s, order)}
        for hub, name in zip(opened.hubs, (OURS, AGAIN), strict=True):
            channel = name.replace(" ", "-")
            order = ListenOrder(url=hub.url, listeners=listening, token=token, channel=channel)
            sides[name] = _Side(name, channel, opened, partial(_our_cpu_s, hub), order)
        for side in sides.values():
            side.gathered()
        yield sides


def _our_cpu_s(hub: HubProcess) -> float:
    return hub.report().cpu_s


def _tell(child: Child, order: msgspec.Struct) -> None:
    child.say(msgspec.json.encode(order).decode())
