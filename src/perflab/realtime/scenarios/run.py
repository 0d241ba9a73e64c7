"""Runs a WebSocket scenario; what was measured so far survives an interrupt."""

from __future__ import annotations

import asyncio
import bisect
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import msgspec
import numpy as np

from perflab.load.apart import in_thread
from perflab.load.busy import BusyClock
from perflab.load.engine import LEAD_S, Engine, busy_share
from perflab.load.scenarios.arriving import due_times
from perflab.load.scenarios.figures import times_of
from perflab.load.scenarios.outcome import Ended
from perflab.realtime.client import RealtimeClient
from perflab.realtime.errors import RealtimeError
from perflab.realtime.scenarios.crowd import Crowd
from perflab.realtime.scenarios.numbered import numbered
from perflab.realtime.scenarios.outcome import SocketProgress, SocketRun
from perflab.realtime.scenarios.scenario import SocketScenario
from perflab.realtime.scenarios.tally import figures_of
from perflab.realtime.sockets import need_files, need_ports

LOOK_S: Final = 1.0
"""How often reasons to abort are looked for."""
_SHOWN_S: Final = 5.0
"""How far back the progress looks."""
_STEP_S: Final = 0.02


def run_sockets(
    scenario: SocketScenario, watch: Callable[[SocketProgress], None] | None = None
) -> SocketRun:
    """Carry a scenario out; blocks while connections open, messages are sent and the last arrive.

    An interrupt ends it early, and what was measured until then is returned. ``watch`` is called
    a few times a second, in this thread. A RealtimeError if this process may not have so many
    connections.
    """
    need_files(scenario.connections)
    need_ports(-(-scenario.connections // len(scenario.endpoints)))
    load = SocketLoad(scenario)
    look = None if watch is None else lambda: watch(load.progress())
    try:
        return in_thread(Engine(load.work), look)
    except KeyboardInterrupt:
        if load.result is None:
            raise
        return load.result


class SocketLoad:
    """One run. ``progress`` may be called from any thread."""

    def __init__(self, scenario: SocketScenario) -> None:
        self._scenario = scenario
        # nobody else's, so that whatever comes is this run's
        own = f"{scenario.channel}-{secrets.token_hex(4)}"
        self._channels = tuple(f"{own}-{number}" for number in range(scenario.channels))
        self._crowd = Crowd(scenario, self._channels)
        self._due = due_times(scenario.arrival, scenario.duration_s, scenario.seed)
        rng = np.random.default_rng([scenario.seed, 3])
        self._channel = rng.integers(scenario.channels, size=len(self._due))
        self._late: list[float] = []
        self._accepted = np.zeros(len(self._due), dtype=np.bool_)
        self._failed = 0
        self._began = 0.0
        self._began_unix_s = time.time()
        self._opening_s = 0.0
        self._busy_share = 0.0
        self._ended: Ended = "done"
        self._reason = ""
        self.result: SocketRun | None = None
        """Where the run was interrupted."""

    async def work(self) -> SocketRun:
        """Run to the end, or until the task is cancelled."""
        async with AsyncExitStack() as stack:
            opening = time.perf_counter()
            try:
                await self._crowd.gather(stack)
                self._opening_s = time.perf_counter() - opening
                if self._crowd.senders:
                    await self._send()
                else:
                    self._ended, self._reason = "aborted", f"no connection: {self._crowd.why}"
            except asyncio.CancelledError:
                self._opening_s = self._opening_s or time.perf_counter() - opening
                self._ended = "interrupted"
                self.result = self._run()
                raise
            return self._run()

    async def _send(self) -> None:
        """Send all messages at their times, and wait for what they come to."""
        busy_clock = BusyClock()
        self._crowd.begin()
        self._began = time.perf_counter() + LEAD_S
        self._began_unix_s = time.time() + LEAD_S
        busy_before_s = busy_clock()
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self._pace())
                if self._scenario.abort:
                    looking = tasks.create_task(self._look(sending))
                    sending.add_done_callback(lambda _: looking.cancel())
        finally:
            gone_s = time.perf_counter() - self._began
            self._busy_share = busy_share(busy_clock() - busy_before_s, gone_s)
            busy_clock.close()

    async def _pace(self) -> None:
        senders = self._crowd.senders
        async with asyncio.TaskGroup() as tasks:
            for number, due in enumerate(self._due.tolist()):
                await asyncio.sleep(max(self._began + due - time.perf_counter(), 0.0))
                self._late.append(time.perf_counter() - self._began - due)
                # each by another connection, so that none meets its own quota
                sender = senders[number % len(senders)]
                tasks.create_task(self._publish(sender, number))
            left_s = self._began + self._scenario.duration_s - time.perf_counter()
            await asyncio.sleep(max(left_s, 0.0))
        await self._until_delivered()

    async def _publish(self, sender: RealtimeClient, number: int) -> None:
        data = msgspec.Raw(numbered(number, self._scenario.message_bytes))
        try:
            await sender.publish(self._channels[self._channel[number]], data, self._scenario.lane)
        except RealtimeError:
            self._failed += 1
        else:
            self._accepted[number] = True

    async def _until_delivered(self) -> None:
        """Until every delivery has come, or none has for the scenario's timeout."""
        expected = figures_of(self._run()).expected
        seen, since = -1, time.perf_counter()
        while time.perf_counter() - since < self._scenario.timeout_s:
            if len(self._crowd.got) != seen:
                seen, since = len(self._crowd.got), time.perf_counter()
                if seen >= expected and not figures_of(self._run()).missing:
                    return
            await asyncio.sleep(_STEP_S)

    async def _look(self, sending: asyncio.Task[None]) -> None:
        """Look for reasons to end early; ends ``sending`` then."""
        while True:
            await asyncio.sleep(LOOK_S)
            run = self._run()
            figures = figures_of(run, settled_s=run.seconds - self._scenario.timeout_s)
            for condition in self._scenario.abort:
                if condition.holds(figures):
                    self._ended = "aborted"
                    self._reason = f"{condition.text}: {condition.value(figures):.4g}"
                    sending.cancel()
                    return

    def _run(self) -> SocketRun:
        """All that there is so far."""
        crowd = self._crowd
        sent = len(self._late)
        accepted = self._accepted[:sent].copy()
        gone_s = time.perf_counter() - self._began if self._began else 0.0
        got = np.array(crowd.got)
        message = np.array(crowd.message[: len(got)], dtype=np.int64)
        connection = np.array(crowd.connection[: len(got)], dtype=np.int64)
        return SocketRun(
            scenario=self._scenario,
            opened=crowd.opened,
            unopened=crowd.failed,
            opening_s=self._opening_s,
            lost=crowd.lost,
            due_s=self._due[:sent],
            late_s=np.array(self._late),
            channel=self._channel[:sent],
            accepted=accepted,
            unanswered=sent - int(accepted.sum()) - self._failed,
            message=message,
            connection=connection,
            got_s=got - self._began,
            ended=self._ended,
            reason=self._reason,
            seconds=min(gone_s, self._scenario.duration_s),
            busy_share=self._busy_share,
            began_unix_s=self._began_unix_s,
        )

    def progress(self) -> SocketProgress:
        """How it stands."""
        crowd, seconds = self._crowd, self._scenario.duration_s
        if not self._began:
            return SocketProgress(0.0, seconds, crowd.open, 0.0, float("nan"), crowd.failed)
        now = time.perf_counter()
        gone_s = now - self._began
        first = bisect.bisect_left(crowd.got, now - _SHOWN_S)
        # slices are copies: the run may make its columns grow meanwhile
        got, message = crowd.got[first:], crowd.message[first:]
        count = min(len(got), len(message))
        due = self._began + self._due[np.array(message[:count], dtype=np.int64)]
        return SocketProgress(
            elapsed_s=gone_s,
            seconds=seconds,
            open=crowd.open,
            rate_per_s=count / max(min(gone_s, _SHOWN_S), 1e-3),
            p95_ms=times_of(np.array(got[:count]) - due).p95_ms,
            errors=crowd.failed + int(crowd.lost.sum()) + self._failed,
        )
