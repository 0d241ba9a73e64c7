"""Drives the users of a scenario through their flows, at the pace that it sets."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import numpy as np

from perflab.load.busy import BusyClock
from perflab.load.engine import LEAD_S, busy_share, open_pool, samples_of
from perflab.load.live import LiveFigures
from perflab.load.outcomes import PENDING
from perflab.load.pacing import Pace
from perflab.load.plan import Wire
from perflab.load.pool import Pool
from perflab.load.scenarios import file as written
from perflab.load.scenarios.figures import GOOD, REFUSED
from perflab.load.scenarios.journeys import UNKNOWN, Journey, Journeys
from perflab.load.scenarios.outcome import Ended, Progress, Run, reason_to_abort
from perflab.load.scenarios.scenario import Scenario
from perflab.load.scenarios.schedule import (
    WHOLE,
    Schedule,
    Segment,
    generator,
    schedule_of,
    shares,
)
from perflab.load.scenarios.wiring import Picks, Users, make_pool, unique_texts

LOOK_S: Final = 1.0
"""How often reasons to abort are looked for."""
MOST_JUDGED: Final = 20_000
"""The latest requests, on which reasons to abort are judged."""
_MOST_AHEAD: Final = 256
"""Connections that are opened before the clock starts."""
_SHOWN_S: Final = 5.0
"""How far back the progress looks."""


async def at_once() -> float:
    """The start of a load that waits for nobody, by ``perf_counter``."""
    return time.perf_counter() + LEAD_S


class Load:
    """One run, or one segment of it. ``progress`` and ``latest`` may be called from any thread.

    Args:
        scenario: what is run.
        captured: what the setup has captured, by user.
        live: is told how the load goes.
        segment: whose users are this load's.
        start: awaited when all is ready; returns when the clock is to start.
        spin: whether to spin for what is due soon, or leave the core to others.
        aborts: whether to look for reasons to end early.
    """

    def __init__(
        self,
        scenario: Scenario,
        captured: list[dict[str, Any]] | None,
        live: LiveFigures | None = None,
        *,
        segment: Segment = WHOLE,
        start: Callable[[], Awaitable[float]] = at_once,
        spin: bool = True,
        aborts: bool = True,
    ) -> None:
        self._scenario = scenario
        self._start = start
        self._spin = spin
        self._aborts = aborts and bool(scenario.abort)
        self._own_users = segment.users(scenario.users)
        self._live = live
        self._schedule: Schedule = schedule_of(scenario).part(segment)
        self._closed = isinstance(scenario.arrival, written.Closed)
        self._rng = generator(scenario, segment)
        self._users = Users(scenario)
        self._picks = Picks(scenario, self._rng, segment)
        if captured is not None:
            self._users.captured = captured
        self._over = False
        self._end = 0.0
        self._reason = ""
        self._timer: asyncio.TimerHandle | None = None
        self.began = 0.0
        """0 until the clock runs."""
        self.result: Run | None = None
        """Where the run was interrupted."""

    async def work(self) -> Run:
        """Run to the end, or until the task is cancelled."""
        scenario = self._scenario
        wires: list[Wire] = []
        self._recorder, pool = make_pool(scenario, scenario.steps, wires, len(self._own_users))
        self._journeys = Journeys(
            scenario.target, self._recorder, wires, unique_texts("r"), self._ended
        )
        pool.on_outcome = self._journeys.outcome
        if self._live is not None:
            self._live.attach(self._recorder, pool)
        busy_clock = BusyClock()
        ended: Ended = "done"
        pace = Pace(pool, busy_clock, spin=self._spin)
        try:
            target = scenario.target
            ahead = min(len(self._own_users), _MOST_AHEAD)
            await open_pool(pool, target.host, target.port, tls=target.tls, ahead=ahead)
            self.began = await self._start()
            ahead_s = self.began - time.perf_counter()
            began_unix_s = time.time() + ahead_s
            self._journeys.wake = pace.wake
            if self._aborts:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(ahead_s + LOOK_S, self._look, pace)
            try:
                await self._pace(pace, pool)
                paced_s = time.perf_counter() - self.began
                self._over = True
                if self._reason:
                    ended = "aborted"
                else:
                    await pool.drain()
            except asyncio.CancelledError:
                self._over, ended = True, "interrupted"
                paced_s = time.perf_counter() - self.began
        finally:
            busy_clock.close()
            if self._timer is not None:
                self._timer.cancel()
            pool.on_outcome = None
            await pool.close()
        self.result = self._run(
            ended,
            min(paced_s, scenario.duration_s) if ended != "done" else scenario.duration_s,
            busy_share=busy_share(pace.busy_s, paced_s),
            began_unix_s=began_unix_s,
            resent=pool.resent,
            connections_opened=pool.opened,
        )
        return self.result

    async def _pace(self, pace: Pace, pool: Pool) -> None:
        """Begin flows until the end; those under way then may go on for a timeout's length."""
        journeys = self._journeys
        self._end = self.began + self._scenario.duration_s
        last = self._end + self._scenario.timeout_s
        due_s = [self.began + due for due in self._schedule.due_s.tolist()]
        position, count = 0, len(due_s)
        if self._closed:
            for user in self._own_users:
                self._begin_again(user, self.began + self._pause() * (user > 0))
        now = time.perf_counter()
        while now < last and not self._over:
            arrival = due_s[position] if position < count else math.inf
            due = min(arrival, journeys.next_due)
            if due > now:
                if due == math.inf and not pool.unfinished:
                    return
                now = await pace.wait(min(due, last))
                continue
            if arrival <= journeys.next_due:
                journey = self._scheduled(position)
                position += 1
            else:
                journey = journeys.pop()
            journeys.write(journey)
            pace.take(due, now)
            await pace.breathe()
            now = time.perf_counter()

    def _scheduled(self, position: int) -> Journey:
        schedule = self._schedule
        user = int(schedule.user[position])
        values = self._users.values(user, schedule.rows[position].tolist())
        return Journey(user, self._scenario.flows[int(schedule.flow[position])].steps, values)

    def _drawn(self, user: int) -> Journey:
        flows = self._scenario.flows
        flow = int(self._rng.choice(len(flows), p=shares(self._scenario)))
        return Journey(user, flows[flow].steps, self._users.values(user, self._picks.of(user)))

    def _pause(self) -> float:
        arrival = self._scenario.arrival
        if not isinstance(arrival, written.Closed) or not arrival.think_s:
            return 0.0
        if arrival.think == "constant":
            return arrival.think_s
        return float(self._rng.exponential(arrival.think_s))

    def _ended(self, journey: Journey, _row: int, at: float) -> None:
        if self._closed:
            self._begin_again(journey.user, at + self._pause())
        self._journeys.wake()  # it may have been the last

    def _begin_again(self, user: int, due: float) -> None:
        if due < self._end and not self._over:
            self._journeys.wait(self._drawn(user), due)

    def _look(self, pace: Pace) -> None:
        """End the load if a condition for that holds; look again later if not."""
        self._reason = reason_to_abort(self.latest())
        if self._reason:
            self._over = True
            pace.wake()
            return
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look, pace)

    def latest(self) -> Run:
        """The latest requests whose outcome is known, as if they had been all."""
        first = max(self._recorder.rows - MOST_JUDGED, 0)
        return self._run("aborted", time.perf_counter() - self.began, first)

    def progress(self) -> Progress:
        """How it stands now."""
        recorder, verdict = self._recorder, self._journeys.verdict
        now = time.perf_counter()
        elapsed = max(now - self.began, 0.0)
        rows = min(recorder.rows, len(verdict))
        codes = np.array(verdict[:rows])
        scheduled, ended = np.array(recorder.scheduled[:rows]), np.array(recorder.ended[:rows])
        late = (codes == GOOD) & (ended > now - _SHOWN_S)
        latency = (ended - scheduled)[late]
        return Progress(
            elapsed_s=elapsed,
            seconds=self._scenario.duration_s,
            requests=rows,
            errors=int((codes > REFUSED).sum()),
            refused=int((codes == REFUSED).sum()),
            rate_per_s=len(latency) / max(min(elapsed, _SHOWN_S), 0.1),
            p95_ms=float(np.quantile(latency, 0.95)) * 1e3 if len(latency) else math.nan,
        )

    def _run(self, ended: Ended, seconds: float, first: int = 0, **facts: Any) -> Run:
        """What there is so far from a row on; rows without an outcome are left out."""
        journeys = self._journeys
        samples = samples_of(
            self._recorder,
            self.began,
            first,
            kind="closed" if self._closed else "open",
            window_s=max(seconds, 1e-9),
            **{"busy_share": 0.0, "began_unix_s": 0.0, **facts},
        )
        rows = slice(first, first + len(samples))
        verdict = np.array(journeys.verdict[rows], dtype=np.int8)
        known = np.asarray((samples.outcome != PENDING) & (verdict != UNKNOWN))
        return Run(
            scenario=self._scenario,
            samples=samples.select(known),
            step=np.array(journeys.step[rows], dtype=np.int16)[known],
            user=np.array(journeys.user[rows], dtype=np.int64)[known],
            verdict=verdict[known],
            ended=ended,
            reason=self._reason,
            seconds=max(seconds, 1e-9),
        )
