"""The plan's load: connections, their cost, and how long messages take in each lane."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import pandas as pd

from perflab.measure.blocks import Blocks
from perflab.measure.statistics import Estimate, mean_of_repetitions, quantile_of
from perflab.profiles import RealtimeSizes
from perflab.realtime import LANES, Lane
from perflab.realtime.batching import DEFAULT_INTERVAL_S
from perflab.realtime.hub import HubSettings
from perflab.realtime.hub.process import HubReport
from perflab.realtime.sockets import need_files, need_ports
from perflab.services import Redis
from perflab.studies.frames import triple
from perflab.studies.realtime.publishing import (
    BLOCKS,
    LATE_S,
    Arrived,
    Published,
    Stream,
    compare,
    publishing,
)
from perflab.studies.realtime.stage import Crowd, Stage, arrivals, spent, stage

CRITICAL_SHARE: Final = 0.1
PLAN_INTERVAL_S: Final = 0.1
MOST_BYTES: Final = 20_000
"""Of a hub's memory that a connection may cost where there are 10,000."""
MOST_IDLE_PERCENT: Final = 5.0
"""Of a core that so many may cost while nothing happens."""


@dataclass(frozen=True)
class Ramp:
    """Connections made, and what they cost."""

    connections: int
    took_s: float
    ready_ms: np.ndarray[tuple[int], np.dtype[np.float64]]
    """Of each client: connected, authenticated and subscribed."""
    bytes_a_connection: float
    """Of the hubs' memory; what the kernel keeps for a socket comes on top."""
    idle_percent: float
    """Of a core, all hubs together, with heartbeats and nothing else."""
    idle_s: float
    """For how long that was looked at."""


@dataclass(frozen=True)
class Delivery:
    """One load."""

    name: str
    interval_s: float
    published: Published
    arrived: Arrived
    hubs: pd.DataFrame
    """As ``spent`` gives it."""

    @property
    def late(self) -> bool:
        """Whether the publisher measured itself."""
        return self.published.late_p99_s > LATE_S

    def blocks(self, lane: Lane) -> Blocks:
        """A lane's latencies in ms, by part of the run."""
        groups = self.arrived.lane(lane).groupby("block")["ms"]
        return Blocks.of([group.to_numpy() for _, group in groups])

    def quantile(self, lane: Lane, q: float) -> Estimate:
        """Of a lane's latency in ms."""
        return quantile_of(self.blocks(lane), q)

    def mean(self, lane: Lane) -> Estimate:
        """Of a lane's latency in ms; the run's parts are the repetitions."""
        means = self.arrived.lane(lane).groupby("block")["ms"].mean()
        return mean_of_repetitions([float(mean) for mean in means])

    @property
    def per_min(self) -> Estimate:
        """Messages a minute, counted where they arrived; the run's parts are the repetitions."""
        share = self.arrived.delivered / max(1, self.arrived.expected)
        due = self.published.sent["due"]
        parts = ((due - due.min()) * BLOCKS / self.published.seconds).astype(int)
        counts = np.bincount(parts.clip(upper=BLOCKS - 1), minlength=BLOCKS)
        per_min = 60 * BLOCKS / self.published.seconds
        return mean_of_repetitions([float(count * share * per_min) for count in counts])

    def frame(self) -> pd.DataFrame:
        """One row a lane."""
        return pd.DataFrame(
            [
                {
                    "load": self.name,
                    "lane": lane,
                    "deliveries": len(self.arrived.lane(lane)),
                    **triple("median", self.quantile(lane, 0.5)),
                    **triple("p95", self.quantile(lane, 0.95)),
                    **triple("p99", self.quantile(lane, 0.99)),
                    "longest": float(self.arrived.lane(lane)["ms"].max()),
                }
                for lane in LANES
            ]
        )


def rooms(clients: int, sizes: RealtimeSizes) -> list[str]:
    """Channels with as many subscribers each as the profile says."""
    return [f"room{number}" for number in range(max(1, clients // sizes.subscribers))]


def plan_streams(channels: list[str], per_min: float) -> list[Stream]:
    """The plan's messages, a tenth of them critical, spread over the channels."""
    rate = per_min / 60
    return [
        Stream(tuple(channels), rate * (1 - CRITICAL_SHARE)),
        Stream(tuple(channels), rate * CRITICAL_SHARE, "critical"),
    ]


def measure_ramp(opened: Stage, sizes: RealtimeSizes, seed: int) -> tuple[Crowd, Ramp]:
    """Connect everybody, and look at the hubs while nothing happens."""
    before = opened.reports()
    crowd = opened.crowd(sizes.clients, rooms(sizes.clients, sizes), seed=seed)
    after = opened.reports()
    time.sleep(sizes.idle_s)
    later = opened.reports()
    return crowd, Ramp(
        connections=sum(one.stats.connections for one in after),
        took_s=crowd.gathered.took_s,
        ready_ms=1_000 * np.array(crowd.gathered.ready_s),
        bytes_a_connection=_grown(before, after) / sizes.clients,
        idle_percent=float(spent(after, later)["busy_percent"].sum()),
        idle_s=sizes.idle_s,
    )


def measure_load(
    opened: Stage,
    crowds: Mapping[str, Crowd],
    streams: list[Stream],
    seconds: float,
    name: str,
) -> Delivery:
    """Publish and hold what came against it; ``crowds`` are by the channels that they share."""
    everybody = list(dict.fromkeys(crowds.values()))
    for crowd in everybody:
        crowd.collect()
    before = opened.reports()
    published = publishing(opened, streams, seconds).result()

    def subscribers(channel: str) -> int:
        return crowds[channel].subscribers(channel)

    deliveries = arrivals(everybody, published.deliveries(subscribers))
    after = opened.reports()
    arrived = compare(published, deliveries, subscribers)
    return Delivery(
        name, opened.settings.batch_interval_s, published, arrived, spent(before, after)
    )


def measure_interval(
    redis: Redis, sizes: RealtimeSizes, seed: int, interval_s: float = PLAN_INTERVAL_S
) -> Delivery:
    """The plan's load with another batch interval."""
    settings = msgspec.structs.replace(default_settings(sizes), batch_interval_s=interval_s)
    with stage(redis, settings) as opened:
        channels = rooms(sizes.clients, sizes)
        crowd = opened.crowd(sizes.clients, channels, seed=seed)
        time.sleep(sizes.idle_s)  # as before the other load
        streams = plan_streams(channels, sizes.rate_per_min)
        crowds = dict.fromkeys(channels, crowd)
        name = f"{1_000 * interval_s:.0f} ms"
        return measure_load(opened, crowds, streams, sizes.side_s, name)


def default_settings(sizes: RealtimeSizes) -> HubSettings:
    """The hub's own defaults, with room for everybody on either of two, half of them at once.

    A RealtimeError where this machine does not allow so many sockets.
    """
    settings = HubSettings(
        max_connections=max(1_000, sizes.clients),
        max_handshakes=max(1_000, sizes.clients // 2),
        batch_interval_s=DEFAULT_INTERVAL_S,
    )
    need_files(settings.max_connections + settings.max_handshakes)
    need_ports(sizes.clients)
    return settings


def _grown(before: list[HubReport], after: list[HubReport]) -> int:
    return sum(b.rss_bytes - a.rss_bytes for a, b in zip(before, after, strict=True))
