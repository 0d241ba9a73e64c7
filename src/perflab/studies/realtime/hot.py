"""One hot channel: what batching saves, a flood beside critical messages, and slow consumers."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import msgspec
import pandas as pd

from perflab.profiles import RealtimeSizes
from perflab.realtime.batching import DEFAULT_INTERVAL_S
from perflab.realtime.hub import HubSettings, HubStats
from perflab.services import Redis
from perflab.studies.realtime.delivery import Delivery, measure_load
from perflab.studies.realtime.publishing import Stream
from perflab.studies.realtime.stage import PATIENT, Stage, stage

HOT: Final = "hot"
FLOOD_CLIENTS: Final = 20
CRITICAL_RATE: Final = 20.0
SLOW_BYTES: Final = 8_000
SLOW_QUEUE: Final = 50
"""In place of 1,000, so that a short run overflows it."""
STILL: Final = 10
BESIDE: Final = 20
_STILL: Final = msgspec.structs.replace(PATIENT, receive_queue=1)


def measure_batching(redis: Redis, sizes: RealtimeSizes, seed: int) -> list[Delivery]:
    """The same messages to the same subscribers, each sent at once and in batches."""
    found = []
    for name, interval_s in (("each at once", 0.0), ("batches", DEFAULT_INTERVAL_S)):
        with stage(redis, HubSettings(batch_interval_s=interval_s), hubs=1) as opened:
            crowd = opened.crowd(sizes.hot_clients, [HOT], seed=seed)
            streams = [Stream((HOT,), sizes.hot_rate), Stream((HOT,), CRITICAL_RATE, "critical")]
            found.append(measure_load(opened, {HOT: crowd}, streams, sizes.side_s, name))
    return found


def batching_frame(deliveries: list[Delivery]) -> pd.DataFrame:
    """One row a way to send."""
    return pd.DataFrame(
        [
            {
                "way": one.name,
                "deliveries": int(one.hubs["deliveries"].sum()),
                "frames": int(one.hubs["frames"].sum()),
                "cpu_us": 1e6 * one.hubs["cpu_s"].sum() / max(1, one.hubs["deliveries"].sum()),
                "median": float(one.arrived.lane("normal")["ms"].median()),
                "p95": float(one.arrived.lane("normal")["ms"].quantile(0.95)),
                "missing": one.arrived.missing,
            }
            for one in deliveries
        ]
    )


def measure_flood(opened: Stage, sizes: RealtimeSizes, seed: int) -> Delivery:
    """Normal messages at a rate that fills the hub, and a few critical ones among them."""
    streams = [
        Stream(("flood",), sizes.flood_rate),
        Stream(("flood",), CRITICAL_RATE, "critical"),
    ]
    with ExitStack() as until:
        crowd = opened.crowd(FLOOD_CLIENTS, ["flood"], seed=seed, until=until)
        return measure_load(opened, {"flood": crowd}, streams, sizes.side_s, "flood")


@dataclass(frozen=True)
class Slow:
    """Consumers that stand still beside others that do not."""

    still: int
    readers: int
    grown_bytes: int
    """The hub's memory, from before the messages until their end."""
    sent_bytes: int
    """All that was meant for the consumers that stood still."""
    before: HubStats
    after: HubStats
    others: Delivery

    def frame(self) -> pd.DataFrame:
        """What the table shows."""
        ms = self.others.arrived.lane("normal")["ms"]
        rows = [
            ("consumers that stood still", self.still),
            ("MB that were meant for them", round(self.sent_bytes / 1e6)),
            ("MB by which the hub grew", round(self.grown_bytes / 1e6)),
            ("messages left out for them, and told", self.after.dropped - self.before.dropped),
            ("of them closed for being too slow", self.after.slow - self.before.slow),
            ("other consumers", self.readers),
            ("messages that the others missed", self.others.arrived.missing),
            ("p95 of the others (ms)", round(float(ms.quantile(0.95)))),
        ]
        return pd.DataFrame(rows, columns=["what", "figure"])


def measure_slow(redis: Redis, sizes: RealtimeSizes, seed: int) -> Slow:
    """Large messages for consumers of which some take nothing."""
    with stage(redis, HubSettings(queue_limit=SLOW_QUEUE, stall_s=60.0), hubs=1) as opened:
        crowd = opened.crowd(BESIDE, [HOT], seed=seed)
        opened.crowd(STILL, [HOT], settings=_STILL, reads=False, seed=seed + BESIDE)
        (before,) = opened.reports()
        streams = [Stream((HOT,), sizes.slow_rate, size=SLOW_BYTES)]
        others = measure_load(opened, {HOT: crowd}, streams, 2 * sizes.side_s, "beside slow ones")
        (after,) = opened.reports()
    return Slow(
        still=STILL,
        readers=BESIDE,
        grown_bytes=after.rss_bytes - before.rss_bytes,
        sent_bytes=others.arrived.published * SLOW_BYTES * STILL,
        before=before.stats,
        after=after.stats,
        others=others,
    )
