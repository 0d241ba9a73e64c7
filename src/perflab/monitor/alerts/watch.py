"""Watches processes: reads their figures at even distances, and evaluates the rules on them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from perflab.arguments import check_hook, check_kind, check_seconds
from perflab.monitor.alerts.engine import AlertEngine, Transition
from perflab.monitor.alerts.scraping import Target, scrape
from perflab.monitor.alerts.series import Sample
from perflab.monitor.errors import MonitorError

EVERY_S: Final = 0.5
_LOG: Final = logging.getLogger("perflab.alerts")
_LOG.addHandler(logging.NullHandler())

Tell = Callable[[Transition], None]
Look = Callable[[float, Target, "list[Sample] | None"], None]


class Watch:
    """Watches for as long as the ``with`` block, from a thread of its own.

    >>> with Watch(AlertEngine(rules), [Target("api", url)]) as watch:
    ...     run_open(...)
    >>> watch.transitions

    Every change of an alert is logged by ``perflab.alerts`` (firing as a warning, else as
    information) and given to ``tell``. A process that does not answer within ``every_s`` is down
    for that round; the others are read at the same time, so that one that hangs delays nobody.

    Args:
        engine: with the rules.
        targets: the processes.
        every_s: between two rounds.
        tell: further receivers of changes, which must not wait.
        look: is given each scrape, with its Unix time; None for a process that is down.

    Raises:
        MonitorError: an argument has no usable value.
    """

    def __init__(
        self,
        engine: AlertEngine,
        targets: Sequence[Target],
        *,
        every_s: float = EVERY_S,
        tell: Sequence[Tell] = (),
        look: Look | None = None,
    ) -> None:
        check_kind("engine", engine, AlertEngine, MonitorError)
        check_seconds("every_s", every_s, MonitorError)
        for one in tell:
            check_hook("tell", one, MonitorError)
        if look is not None:
            check_hook("look", look, MonitorError)
        if not all(isinstance(target, Target) for target in targets):
            raise MonitorError("targets must be Target structs, a job and where its figures are")
        self._engine = engine
        self._targets = tuple(targets)
        self._instances = [target.instance for target in self._targets]  # refuses a bad URL now
        seen = set()
        for target, instance in zip(self._targets, self._instances, strict=True):
            if (target.job, instance) in seen:
                raise MonitorError(f"{target.job} {instance} is to be watched twice")
            seen.add((target.job, instance))
        self._every_s = every_s
        self._tell = tuple(tell)
        self._look = look
        self._over, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="perflab-watch", daemon=True)
        self._changes: list[Transition] = []
        self._defect: Exception | None = None

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """What changed so far."""
        return tuple(self._changes)

    def wait(self, seconds: float | None = None) -> None:
        """Wait so long, or until the watch itself has failed."""
        self._ended.wait(seconds)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._defect is not None:
            raise self._defect

    def _run(self) -> None:
        try:
            self._rounds()
        except Exception as error:  # noqa: BLE001 - raised again by whoever opened the watch
            self._defect = error
        self._ended.set()

    def _rounds(self) -> None:
        due = time.monotonic()
        with ThreadPoolExecutor(max(len(self._targets), 1)) as threads:
            while not self._over.is_set():
                self._round(threads)
                due = max(due + self._every_s, time.monotonic())
                self._over.wait(due - time.monotonic())

    def _round(self, threads: ThreadPoolExecutor) -> None:
        asked = [threads.submit(scrape, target, self._every_s) for target in self._targets]
        for target, instance, answer in zip(self._targets, self._instances, asked, strict=True):
            found = answer.result()
            self._engine.enter(target.job, instance, found)
            if self._look is not None:
                self._look(time.time(), target, found)
        for change in self._engine.evaluate():
            self._changes.append(change)
            _LOG.log(logging.WARNING if change.after == "firing" else logging.INFO, "%s", change)
            for tell in self._tell:
                tell(change)
