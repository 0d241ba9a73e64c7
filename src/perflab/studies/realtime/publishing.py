"""A publisher that keeps its schedule: messages leave when due, whatever became of others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pandas as pd

from perflab.measure.experiment import without_gc
from perflab.realtime import ChannelLog, ChannelsUnavailable, Lane
from perflab.studies.realtime.stage import Stage

MESSAGE_BYTES: Final = 200
_TICK_S: Final = 0.001
_SETTLE_S: Final = 0.1
BLOCKS: Final = 24
"""Parts of equal length that a run is cut into, the units behind an interval."""
LATE_S: Final = 0.010
"""A publisher whose messages leave later than this measures itself."""


@dataclass(frozen=True)
class Stream:
    """Messages at regular times; each channel of it gets the next one in turn."""

    channels: tuple[str, ...]
    rate: float
    """Messages per second."""
    lane: Lane = "normal"
    size: int = MESSAGE_BYTES


Subscribers: TypeAlias = Callable[[str], int]
"""How many subscribe to a channel."""


@dataclass(frozen=True)
class Published:
    """What left: one row a message, with id, channel, lane, due (monotonic), late_s, failed."""

    messages: pd.DataFrame
    seconds: float

    @property
    def per_min(self) -> float:
        """Messages published a minute."""
        return float(len(self.sent) / self.seconds * 60)

    def deliveries(self, subscribers: Subscribers) -> int:
        """How many must arrive: each message once for each subscriber of its channel."""
        return int(self.sent["channel"].map(subscribers).sum())

    @property
    def sent(self) -> pd.DataFrame:
        """The rows of those that did not fail."""
        return self.messages[~self.messages["failed"]]

    @property
    def late_p99_s(self) -> float:
        """How late messages left."""
        return float(self.messages["late_s"].quantile(0.99))


def publishing(stage: Stage, streams: list[Stream], seconds: float) -> Future[Published]:
    """Publish in a thread of its own; what left is known at the end."""

    def publish() -> Published:
        with without_gc():
            return asyncio.run(_publish(stage, streams, seconds))

    pool = ThreadPoolExecutor(1)
    work = pool.submit(publish)
    pool.shutdown(wait=False)
    return work


async def _publish(stage: Stage, streams: list[Stream], seconds: float) -> Published:
    # in microseconds: numbers that no load before has had, whose messages may still be under way
    plan = _plan(streams, seconds, first_id=time.monotonic_ns() // 1_000)
    rows: list[tuple[int, str, str, float, float, bool]] = []
    async with ChannelLog(stage.redis_url, prefix=stage.prefix, budget_s=5.0) as log:
        await log.read(streams[0].channels[0])  # connected
        pending: set[asyncio.Task[None]] = set()
        start = time.monotonic() + _SETTLE_S

        async def one(number: int, stream: Stream, due: float, channel: str) -> None:
            late_s = time.monotonic() - due
            failed = False
            try:
                await log.publish(channel, message(number, due, stream.size), stream.lane)
            except ChannelsUnavailable:
                failed = True
            rows.append((number, channel, stream.lane, due, late_s, failed))

        for at, number, stream, channel in plan:
            while (now := time.monotonic()) < start + at:
                await asyncio.sleep(min(_TICK_S, start + at - now))
            task = asyncio.create_task(one(number, stream, start + at, channel))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.gather(*pending)
    columns = ["id", "channel", "lane", "due", "late_s", "failed"]
    return Published(pd.DataFrame(rows, columns=columns).sort_values("id"), seconds)


def message(number: int, sent: float, size: int) -> bytes:
    """A JSON value of so many bytes: a number, the time it was due, and padding."""
    head = b'[%d,%.6f,"' % (number, sent)
    return head + b"x" * max(0, size - len(head) - 2) + b'"]'


def _plan(
    streams: list[Stream], seconds: float, first_id: int
) -> list[tuple[float, int, Stream, str]]:
    due = [
        (float(at), stream, stream.channels[turn % len(stream.channels)])
        for stream in streams
        for turn, at in enumerate(np.arange(0, seconds, 1 / stream.rate))
    ]
    due.sort(key=lambda one: one[0])
    return [(at, first_id + number, stream, to) for number, (at, stream, to) in enumerate(due)]


@dataclass(frozen=True)
class Arrived:
    """What was published held against what came."""

    published: int
    expected: int
    """Deliveries: each message once for each subscriber of its channel."""
    delivered: int
    duplicates: int
    latencies: pd.DataFrame
    """One row a delivery: lane, ms (from when the message was due), block (of the run)."""

    @property
    def missing(self) -> int:
        """Deliveries that never came."""
        return self.expected - self.delivered

    def lane(self, lane: Lane) -> pd.DataFrame:
        """The deliveries of a lane."""
        return self.latencies[self.latencies["lane"] == lane]


def compare(published: Published, deliveries: pd.DataFrame, subscribers: Subscribers) -> Arrived:
    """Hold deliveries against publications, message by message and client by client."""
    sent = published.sent
    expected = published.deliveries(subscribers)
    known = deliveries[deliveries["id"].isin(sent["id"])]
    once = known.drop_duplicates(["who", "id"])
    joined = once.merge(sent[["id", "lane", "due"]], on="id")
    start = float(sent["due"].min())
    return Arrived(
        published=len(sent),
        expected=expected,
        delivered=len(once),
        duplicates=len(known) - len(once),
        latencies=pd.DataFrame(
            {
                "lane": joined["lane"],
                "ms": 1_000 * (joined["got"] - joined["due"]),
                "block": ((joined["due"] - start) * BLOCKS / published.seconds).astype(int),
            }
        ),
    )
