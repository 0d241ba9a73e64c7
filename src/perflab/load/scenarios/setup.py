"""What every user of a scenario does once before the clock starts, e.g. sign in."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from typing import Any, Final

import numpy as np

from perflab.load.engine import open_pool
from perflab.load.errors import LoadError
from perflab.load.plan import Wire
from perflab.load.scenarios.figures import GOOD, VERDICTS
from perflab.load.scenarios.journeys import Journey, Journeys
from perflab.load.scenarios.scenario import Scenario
from perflab.load.scenarios.schedule import WHOLE, Segment
from perflab.load.scenarios.wiring import Picks, Users, make_pool, unique_texts

AT_ONCE: Final = 16
"""Users who are at it at one time."""


async def set_up(scenario: Scenario, segment: Segment = WHOLE) -> list[dict[str, Any]]:
    """Let every user of a segment take the steps of the setup; what each captured, by user."""
    users = Users(scenario)
    target = scenario.target
    picks = Picks(scenario, np.random.default_rng([scenario.seed, 2, segment.index]), segment)
    own = segment.users(scenario.users)
    captured = [name for step in scenario.setup for name in step.captured]
    failed: list[str] = []

    def ended(journey: Journey, row: int, _at: float) -> None:
        verdict, step = journeys.verdict[row], journey.steps[journey.at - 1]
        if verdict == GOOD:
            users.captured[journey.user] = {name: journey.values[name] for name in captured}
        elif not failed:
            status = f" (status {recorder.status[row]})" if recorder.status[row] else ""
            failed.append(
                f"setup of user {journey.user}: {step.name} ended as {VERDICTS[verdict]}{status}"
            )
        if (nobody := next(waiting, None)) is not None and not failed:
            begin(nobody)

    wires: list[Wire] = []
    recorder, pool = make_pool(scenario, scenario.setup, wires, min(AT_ONCE, len(own)))
    journeys = Journeys(scenario.target, recorder, wires, unique_texts("s"), ended)
    waiting = iter(own)

    def begin(user: int) -> None:
        values = users.values(user, picks.of(user))
        journeys.wait(Journey(user, scenario.setup, values), time.perf_counter())

    pool.on_outcome = journeys.outcome
    try:
        await open_pool(pool, target.host, target.port, tls=target.tls, ahead=0)
        for user in list(itertools.islice(waiting, AT_ONCE)):
            begin(user)
        while (pool.unfinished or journeys.next_due < math.inf) and not failed:
            while journeys.next_due <= time.perf_counter():
                due = journeys.next_due
                journeys.write(journeys.pop())
                pool.take(due, time.perf_counter())
            await asyncio.sleep(0.001)
    finally:
        await pool.close()
    if failed:
        raise LoadError(f"{failed[0]}; the load was not begun")
    return users.captured
