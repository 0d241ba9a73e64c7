"""Leads the members of a distributed load: ready, together off, watched, and merged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from perflab.load.distributed.clocks import Offset, offset_of
from perflab.load.distributed.member import State
from perflab.load.distributed.merging import merged, together
from perflab.load.errors import LoadError
from perflab.load.scenarios.driver import LOOK_S
from perflab.load.scenarios.outcome import Ended, Progress, Run, reason_to_abort
from perflab.load.scenarios.scenario import Scenario

LEAD_S: Final = 0.3
"""From the word to the start: by then it must have reached every member."""
WATCH_S: Final = 0.25
READY_S: Final = 300.0
"""How long setup and connections may take."""


class WorkerLost(LoadError):
    """A worker cannot be reached any more."""


class Led(Protocol):
    """A member, near or far. Every method raises ``WorkerLost`` where it cannot be reached."""

    def clock(self) -> float:
        """Its clock, in seconds."""

    def begin(self, at: float) -> None:
        """Start at this moment of its clock."""

    def state(self) -> State:
        """How it stands."""

    def latest(self) -> Run | None:
        """Its latest requests; None before it began."""

    def stop(self) -> None:
        """End early; what was measured stays."""

    def result(self) -> Run | None:
        """What it measured, once it has ended; None if it never began."""


def conduct(
    scenario: Scenario,
    members: Mapping[str, Led],
    watch: Callable[[Progress], None] | None = None,
) -> Run:
    """Carry a scenario out with these members, by name; each must have its own segment.

    An interrupt ends it early, and a lost worker does: what the others measured until then is
    returned, void where one was lost. A LoadError if none could be begun.
    """
    return _Conductor(scenario, members, watch).run()


class _Conductor:
    def __init__(
        self,
        scenario: Scenario,
        members: Mapping[str, Led],
        watch: Callable[[Progress], None] | None,
    ) -> None:
        self._scenario = scenario
        self._members = dict(members)
        self._watch = watch
        self._apart_s = 0.0
        self._lost = ""

    def run(self) -> Run:
        ended: Ended = "done"
        reason = ""
        begun = False
        try:
            self._until_ready()
            self._begin()
            begun = True
            reason = self._until_over()
        except WorkerLost as error:
            if not begun:
                raise LoadError(f"{error}; the load was not begun") from None
            self._lost = str(error)
        except KeyboardInterrupt:
            if not begun:
                raise
            ended = "interrupted"
        finally:
            if not begun or reason or self._lost or ended == "interrupted":
                self._stop()
        runs = self._results()
        if not runs:
            raise LoadError(self._lost or "no worker has measured anything")
        void = ""
        if self._lost:
            ended = "aborted"
            reason = self._lost
            void = f"{self._lost}: what it measured is missing"
        elif reason:
            ended = "aborted"
        return merged(
            self._scenario,
            runs,
            ended=ended,
            reason=reason,
            void_reason=void,
            clocks_ms=self._apart_s * 1e3,
        )

    def _until_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        waiting = dict(self._members)
        while waiting:
            for name, member in list(waiting.items()):
                state = member.state()
                if state.phase == "failed":
                    raise LoadError(f"worker {name}: {state.error}")
                if state.phase == "ready":
                    del waiting[name]
            if waiting and time.monotonic() > deadline:
                raise LoadError(f"worker {min(waiting)} was not ready within {READY_S:g} s")
            if waiting:
                time.sleep(0.02)

    def _begin(self) -> None:
        """Tell every member the same moment, each by its own clock."""
        offsets: dict[str, Offset] = {
            name: offset_of(member.clock) for name, member in self._members.items()
        }
        self._apart_s = 2 * max(offset.uncertainty_s for offset in offsets.values())
        at = time.perf_counter() + LEAD_S + self._apart_s * len(offsets)
        for name, member in self._members.items():
            member.begin(at + offsets[name].seconds)
        if time.perf_counter() > at:
            raise LoadError("the workers could not be told the start in time; try again")

    def _until_over(self) -> str:
        """Watch until all have ended; why it has to end early, or nothing."""
        looked = time.monotonic()
        while True:
            states = {name: member.state() for name, member in self._members.items()}
            for name, state in states.items():
                if state.phase == "failed":
                    raise WorkerLost(f"worker {name} failed: {state.error}")
            going = [state.progress for state in states.values() if state.progress is not None]
            if going and self._watch is not None:
                self._watch(together(going))
            if all(state.phase == "ended" for state in states.values()):
                return ""
            if self._scenario.abort and time.monotonic() - looked > LOOK_S:
                looked = time.monotonic()
                reason = self._reason()
                if reason:
                    return reason
            time.sleep(WATCH_S)

    def _reason(self) -> str:
        latest = [member.latest() for member in self._members.values()]
        runs = [replace(run, scenario=self._scenario) for run in latest if run is not None]
        return reason_to_abort(merged(self._scenario, runs)) if runs else ""

    def _stop(self) -> None:
        for name, member in list(self._members.items()):
            try:
                member.stop()
            except WorkerLost:
                del self._members[name]

    def _results(self) -> list[Run]:
        runs = []
        for member in self._members.values():
            try:
                run = member.result()
            except WorkerLost as error:
                self._lost = self._lost or str(error)
                continue
            if run is not None:
                runs.append(run)
        return runs
