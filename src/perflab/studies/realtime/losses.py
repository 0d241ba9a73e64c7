"""Connections, hubs and Redis lost: when clients know, when they are back, what they missed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import pandas as pd

from perflab.measure.statistics import Estimate, independent_quantile, mean_of_repetitions
from perflab.profiles import RealtimeSizes
from perflab.realtime.client import ClientSettings, Outage
from perflab.realtime.hub import HubSettings
from perflab.report.not_run import NotRun
from perflab.services import Redis
from perflab.studies.outages import NoProxy, outage_for
from perflab.studies.realtime.delivery import plan_streams, rooms
from perflab.studies.realtime.publishing import Arrived, compare, publishing
from perflab.studies.realtime.stage import PATIENT, Crowd, Stage, arrivals, stage

FAST_HEARTBEAT_S: Final = 1.0
"""In place of the plan's 30 s, where a run is too short to wait for those."""
WITHIN_S: Final = 20.0
_BEFORE_S: Final = 0.5
_ARRIVE_S: Final = 0.5
_AWAY_S: Final = 0.3
_BIN_S: Final = 0.02
_DRAIN_S: Final = 1.0
_BUT_FIRST: Final = slice(1, None)

Strike = Callable[[Stage, Crowd], float]
"""Does the harm; returns when, by the monotonic clock."""


@dataclass(frozen=True)
class Loss:
    """One kind of loss and what the clients saw of it."""

    what: str
    clients: int
    at: float
    outages: tuple[Outage, ...]
    """One for each client whom it hit."""
    gaps: int
    """Announced to clients."""
    arrived: Arrived | None
    """What was published meanwhile; None where nothing was."""
    connections: tuple[int, ...]
    """Of each hub that is left, afterwards."""

    @property
    def detection_s(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """From the loss until each client knew."""
        return np.array([one.detected_at - self.at for one in self.outages])

    @property
    def reconnect_s(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """From when each client knew until it was subscribed again."""
        return np.array(
            [one.back_at - one.detected_at for one in self.outages if one.back_at is not None]
        )

    @property
    def mean_s(self) -> Estimate:
        """Of reconnecting."""
        return mean_of_repetitions(self.reconnect_s)

    @property
    def p95_s(self) -> Estimate:
        """Of reconnecting."""
        return independent_quantile(self.reconnect_s, 0.95)

    def row(self) -> dict[str, object]:
        """What the table shows."""
        arrived = self.arrived
        return {
            "what": self.what,
            "hit": len(self.outages),
            **_spread("detection", self.detection_s),
            **_spread("reconnect", self.reconnect_s),
            "back": len(self.reconnect_s),
            "expected": None if arrived is None else arrived.expected,
            "missing": None if arrived is None else arrived.missing,
            "duplicates": None if arrived is None else arrived.duplicates,
            "gaps": self.gaps,
            "balance": " / ".join(map(str, self.connections)),
        }


def _spread(name: str, seconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> dict[str, float]:
    if not len(seconds):
        return dict.fromkeys((f"{name}_median", f"{name}_p99", f"{name}_max"), float("nan"))
    median, p99, longest = np.quantile(seconds, [0.5, 0.99, 1.0])
    return {f"{name}_median": median, f"{name}_p99": p99, f"{name}_max": longest}


def kill_one(opened: Stage, crowd: Crowd) -> float:
    """Kill -9 for one of the hubs."""
    os.kill(opened.hubs[0].pid, signal.SIGKILL)
    return time.monotonic()


def hang_one(opened: Stage, crowd: Crowd) -> float:
    """SIGSTOP for one of the hubs: its sockets stay open, and nobody answers."""
    os.kill(opened.hubs[0].pid, signal.SIGSTOP)
    return time.monotonic()


def drain_one(opened: Stage, crowd: Crowd) -> float:
    """SIGTERM for one of the hubs."""
    opened.hubs[0].drain()
    return time.monotonic()


def cut_all(opened: Stage, crowd: Crowd) -> float:
    """Every connection at once."""
    return crowd.drop()


def measure_loss(
    what: str,
    opened: Stage,
    crowd: Crowd,
    sizes: RealtimeSizes,
    strike: Strike,
    *,
    left: slice = slice(None),
    watch_s: float | None = None,
) -> Loss:
    """Publish, strike in the midst of it, and wait until all are back.

    Args:
        what: for the table.
        opened: the hubs.
        crowd: whose clients are hit.
        sizes: of the load; as much for each client as the plan's.
        strike: the loss.
        left: the hubs that are left afterwards.
        watch_s: how long to publish.
    """
    channels = crowd.order.channels
    crowd.collect()
    known = [len(one.outages) for one in crowd.seen()]
    gaps = sum(one.gaps for one in crowd.seen())
    per_min = sizes.rate_per_min * crowd.order.clients / sizes.clients
    work = publishing(opened, plan_streams(channels, per_min), watch_s or sizes.loss_s)
    time.sleep(_BEFORE_S)
    at = strike(opened, crowd)
    published = work.result()
    crowd.until_back(WITHIN_S)
    came = arrivals([crowd], published.deliveries(crowd.subscribers))
    seen = crowd.seen()
    hit = [one.outages[known[n]] for n, one in enumerate(seen) if len(one.outages) > known[n]]
    return Loss(
        what=what,
        clients=crowd.order.clients,
        at=at,
        outages=tuple(hit),
        gaps=sum(one.gaps for one in seen) - gaps,
        arrived=compare(published, came, crowd.subscribers),
        connections=tuple(one.report().stats.connections for one in opened.hubs[left]),
    )


@dataclass(frozen=True)
class Small:
    """The losses that a smaller crowd goes through, with fast heartbeats."""

    drained: Loss
    hung: Loss
    herd: pd.DataFrame
    """One row with jitter and one without: clients, the most that came back at once, times."""


def measure_small(redis: Redis, sizes: RealtimeSizes, seed: int) -> Small:
    """One of three hubs drains, then all of a crowd are cut off, then another hub hangs."""
    settings = HubSettings(heartbeat_s=FAST_HEARTBEAT_S, timeout_s=FAST_HEARTBEAT_S)
    clients, beats = sizes.small_clients, f"{FAST_HEARTBEAT_S:g} s"
    with stage(redis, settings, hubs=3, drain_s=_DRAIN_S) as opened:
        crowd = opened.crowd(clients, rooms(clients, sizes), seed=seed)
        drained = measure_loss(
            f"a hub drains ({_DRAIN_S:g} s)", opened, crowd, sizes, drain_one, left=_BUT_FIRST
        )
        rest = Stage(**{**vars(opened), "hubs": opened.hubs[1:]})
        herd = pd.DataFrame(
            [
                _herd(rest, "without", clients, seed, jitter=False),
                _herd(rest, "with full", clients, seed, jitter=True),
            ]
        )
        hung = measure_loss(
            f"a hub hangs (heartbeat {beats} + timeout {beats})",
            rest, crowd, sizes, hang_one, left=_BUT_FIRST, watch_s=sizes.loss_s + 1,
        )  # fmt: skip
    return Small(drained, hung, herd)


def _herd(opened: Stage, name: str, clients: int, seed: int, *, jitter: bool) -> dict[str, object]:
    """All connections cut at once: how many come back at a time.

    Reconnecting is tried only once a delay is over, so the delays alone make the herd.
    """
    settings: ClientSettings = msgspec.structs.replace(PATIENT, jitter=jitter)
    with ExitStack() as until:
        crowd = opened.crowd(clients, ["herd"], settings=settings, seed=seed, until=until)
        crowd.drop()
        crowd.until_back(WITHIN_S)
        outages = [one.outages[-1] for one in crowd.seen()]
    back = np.array([one.back_at for one in outages if one.back_at is not None])
    took = np.array([one.back_at - one.detected_at for one in outages if one.back_at is not None])
    return {
        "jitter": name,
        "clients": len(outages),
        "most": int(np.bincount(((back - back.min()) / _BIN_S).astype(int)).max()),
        "median": float(np.median(took)),
        "longest": float(took.max()),
    }


@dataclass(frozen=True)
class Restart:
    """Redis away for a moment."""

    cause: str
    clients: int
    told: int
    """Clients that were told of a gap."""
    disconnected: int
    """Clients whose connection was lost."""
    resumed_s: float
    """From when it was back until messages arrived again."""


def measure_redis(redis: Redis, sizes: RealtimeSizes, seed: int) -> Restart | NotRun:
    """Redis goes away: nobody may miss anything without being told."""
    try:
        with (
            outage_for(redis, _AWAY_S) as outage,
            stage(redis, HubSettings(), url=outage.url) as opened,
        ):
            channels = rooms(sizes.small_clients, sizes)
            crowd = opened.crowd(sizes.small_clients, channels, seed=seed)
            publishing(opened, plan_streams(channels, sizes.rate_per_min), _BEFORE_S).result()
            outage.strike()
            back = time.monotonic()
            crowd.collect()
            publishing(opened, plan_streams(channels, sizes.rate_per_min), _BEFORE_S).result()
            time.sleep(_ARRIVE_S)
            came, seen = crowd.collect(), crowd.seen()
    except NoProxy as error:
        return NotRun("Redis lost", str(error))
    first = came["got"].min() - back if len(came) else float("nan")
    return Restart(
        cause=outage.cause,
        clients=len(seen),
        told=sum(one.gaps > 0 for one in seen),
        disconnected=sum(bool(one.outages) for one in seen),
        resumed_s=float(first),
    )
