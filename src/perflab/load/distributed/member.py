"""One worker's part of a load: prepared, begun at a given moment, watched and taken home."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from dataclasses import replace
from typing import Literal

import msgspec

from perflab import __version__
from perflab.errors import PerflabError
from perflab.load.apart import in_thread
from perflab.load.engine import Engine
from perflab.load.scenarios.driver import Load
from perflab.load.scenarios.outcome import Progress, Run
from perflab.load.scenarios.scenario import Scenario
from perflab.load.scenarios.schedule import Segment
from perflab.load.scenarios.setup import set_up

Phase = Literal["preparing", "ready", "running", "ended", "failed"]


class Place(msgspec.Struct, frozen=True):
    """Where a worker runs, and what."""

    host: str
    pid: int
    cores: int
    """That its process may use."""
    perflab: str
    """Its version."""


def place() -> Place:
    """Of this process."""
    return Place(socket.gethostname(), os.getpid(), len(os.sched_getaffinity(0)), __version__)


class State(msgspec.Struct, frozen=True):
    """How a member stands."""

    phase: Phase
    progress: Progress | None = None
    error: str = ""


class Member:
    """A segment of a scenario on a thread of its own. No method blocks but ``result``.

    Args:
        scenario: the whole of it.
        segment: which users are this member's.
        spin: whether a core is left for it to spin on.
    """

    def __init__(self, scenario: Scenario, segment: Segment, *, spin: bool) -> None:
        self._scenario = scenario
        self._segment = segment
        self._spin = spin
        self._begin_at = 0.0
        self._begun = threading.Event()
        self._ready = False
        self._stopped = False
        self._error = ""
        self._run: Run | None = None
        self._load: Load | None = None
        self._engine: Engine[Run] | None = None
        self._thread = threading.Thread(target=self._carry_out, name="perflab-member", daemon=True)
        self._thread.start()

    def clock(self) -> float:
        """The clock by which ``begin`` is told its moment."""
        return time.perf_counter()

    def begin(self, at: float) -> None:
        """Start at this moment of ``clock``; once it is ready."""
        self._begin_at = at
        self._begun.set()

    def state(self) -> State:
        """How it stands now."""
        load = self._load
        progress = load.progress() if load is not None and load.began else None
        if self._error:
            return State("failed", progress, self._error)
        if self._run is not None:
            return State("ended", progress)
        if progress is not None:
            return State("running", progress)
        return State("ready" if self._ready else "preparing")

    def latest(self) -> Run | None:
        """Its latest requests; None before it began."""
        load = self._load
        return None if load is None or not load.began else _lean(load.latest())

    def stop(self) -> None:
        """End early; what was measured stays."""
        self._stopped = True
        if self._engine is not None:
            self._engine.stop()

    def result(self) -> Run | None:
        """What it measured; waits for its end. None if it never began."""
        self._thread.join()
        return None if self._run is None else _lean(self._run)

    def _carry_out(self) -> None:
        scenario, segment = self._scenario, self._segment
        try:
            captured = None
            if scenario.setup:
                captured = in_thread(Engine(lambda: set_up(scenario, segment)))
            load = Load(
                scenario,
                captured,
                segment=segment,
                start=self._barrier,
                spin=self._spin,
                aborts=False,
            )
            self._engine = Engine(load.work)
            self._load = load
            self._run = in_thread(self._engine)
        except asyncio.CancelledError:
            self._error = "stopped before it began"
        except PerflabError as error:
            self._error = str(error)
        except Exception as error:  # noqa: BLE001 - it is told to whoever conducts
            self._error = f"{type(error).__name__}: {error}"

    async def _barrier(self) -> float:
        self._ready = True
        while not self._begun.is_set():
            if self._stopped:
                raise asyncio.CancelledError
            await asyncio.sleep(0.002)
        return self._begin_at


def _lean(run: Run) -> Run:
    """Without the rows of feeders, which whoever conducts has already."""
    return replace(run, scenario=replace(run.scenario, feeders=()))
