"""A short load on the API that is stopped in the middle of it, and what the alerts make of that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import psutil

from perflab.load import LiveFigures, LoadSamples, Target, arrivals, run_open
from perflab.measure.experiment import without_gc
from perflab.monitor import MetricsRegistry
from perflab.monitor.alerts import AlertEngine, Transition, Watch, load_rules
from perflab.monitor.alerts import Target as Watched
from perflab.paths import data_dir
from perflab.studies.api.ceiling import Served
from perflab.studies.api.cores import confined, listening
from perflab.studies.api.served import HOST
from perflab.studies.api.site import Site, StudyError
from perflab.studies.api.traffic import PAGE, signed
from perflab.studies.monitor.figures import API, LOAD, Figure, History, Point

WATCHED: Final = "watched"
BARE: Final = "not watched"
RATE_RPS: Final = 100.0
EVERY_S: Final = 0.25
PAUSED_AT: Final = 0.15
PAUSED_FOR: Final = 0.2
"""Shares of the load's time: when the server stops, and for how long."""
_REFRESH_S: Final = 0.2


class Shown(Protocol):
    """Something in a notebook that changes while a load runs."""

    def show(self) -> None:
        """Show it, or bring it up to date."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """What was seen of one load."""

    began_s: float
    """Unix time of its beginning; all that follows is in Unix time too."""
    ended_s: float
    paused: tuple[float, float]
    """From when to when the server stood still."""
    samples: LoadSamples
    transitions: tuple[Transition, ...]
    figures: tuple[tuple[Figure, list[Point]], ...]


@contextmanager
def watched_api(site: Site) -> Iterator[Mapping[str, Served]]:
    """The API as it is, and one that counts neither requests nor its event loop's lag."""
    with site.serving({WATCHED: site.orders(), BARE: site.orders("monitoring")}) as served:
        yield served


def watch_a_pause(
    served: Mapping[str, Served],
    site: Site,
    seconds: float,
    seed: int,
    panel_of: Callable[[History, AlertEngine], Shown],
) -> Episode:
    """Load the API for so long, stop its process for a fifth of that, and watch both.

    ``panel_of`` makes what shows the figures and alerts while it lasts.
    """
    port = served[WATCHED].port
    processes = listening(port)
    if not processes:
        raise StudyError("the API's process cannot be found on this machine, nor stopped")
    live, registry = LiveFigures(), MetricsRegistry(process=False)
    registry.register("load", live.stats)
    engine, history = AlertEngine(load_rules(data_dir() / "alerts.toml"), "lab"), History()
    targets = [Watched(API, f"http://{HOST}:{port}/metrics"), Watched(LOAD, registry)]
    panel = panel_of(history, engine)
    with (
        ThreadPoolExecutor(1) as thread,
        confined([psutil.Process()], site.cores.generator),
        without_gc(),
        Watch(engine, targets, every_s=EVERY_S, look=history.enter) as watch,
    ):
        began = time.time()
        load = thread.submit(_load, site, port, seconds, seed, live)
        stop_at = began + PAUSED_AT * seconds
        panel.show()
        _until(stop_at, panel)
        paused = _stand_still(processes, PAUSED_FOR * seconds, panel)
        while not load.done():
            _until(time.time() + _REFRESH_S, panel)
        samples = load.result()
        ended = time.time()
    panel.show()
    return Episode(
        began_s=samples.began_unix_s,
        ended_s=ended,
        paused=paused,
        samples=samples,
        transitions=watch.transitions,
        figures=tuple(history.rows()),
    )


def _load(site: Site, port: int, seconds: float, seed: int, live: LiveFigures) -> LoadSamples:
    people = site.people
    return run_open(
        Target(HOST, port),
        lambda position: signed(people[position % len(people)], "GET", PAGE),
        arrivals.poisson(RATE_RPS, seed=seed, seconds=seconds),
        connections=64,
        timeout_s=10.0,
        live=live,
    )


def _stand_still(
    processes: list[psutil.Process], seconds: float, panel: Shown
) -> tuple[float, float]:
    begin = time.time()
    for process in processes:
        process.suspend()
    try:
        _until(begin + seconds, panel)
    finally:
        for process in processes:
            process.resume()
    return begin, time.time()


def _until(moment: float, panel: Shown) -> None:
    """Keep the panel up to date until a moment of Unix time."""
    while (left := moment - time.time()) > 0:
        time.sleep(min(left, _REFRESH_S))
        panel.show()
