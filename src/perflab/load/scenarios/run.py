"""Runs a scenario on the load engine; what was measured so far survives an interrupt."""

from __future__ import annotations

from collections.abc import Callable

from perflab.load.apart import in_thread
from perflab.load.engine import Engine
from perflab.load.live import LiveFigures
from perflab.load.scenarios.driver import Load
from perflab.load.scenarios.outcome import Progress, Run
from perflab.load.scenarios.scenario import Scenario
from perflab.load.scenarios.setup import set_up


def run_scenario(
    scenario: Scenario,
    watch: Callable[[Progress], None] | None = None,
    live: LiveFigures | None = None,
) -> Run:
    """Carry a scenario out; blocks for its setup, its duration and at most three timeouts.

    An interrupt ends it early, and what was measured until then is returned. ``watch`` is called
    a few times a second, in this thread; ``live`` counts along. A LoadError if a user's setup is
    not answered as it must be, or a captured value may not stand where a request puts it.
    """
    values = in_thread(Engine(lambda: set_up(scenario))) if scenario.setup else None
    load = Load(scenario, values, live)
    engine = Engine(load.work)
    look = None if watch is None else lambda: _report(load, watch)
    try:
        return in_thread(engine, look)
    except KeyboardInterrupt:
        if load.result is None:
            raise
        return load.result


def _report(load: Load, watch: Callable[[Progress], None]) -> None:
    if load.began:
        watch(load.progress())
