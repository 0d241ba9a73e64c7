"""The plan's fourth scenario: many WebSocket connections at once, all of them listening."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perflab.load.arrivals import poisson
from perflab.realtime import Message
from perflab.realtime.client import ClientSettings, RealtimeClient
from perflab.realtime.errors import RealtimeError
from perflab.realtime.hub.apart import HubProcess
from perflab.realtime.hub.process import HubOrder
from perflab.realtime.hub.settings import HubSettings
from perflab.realtime.hub.stats import HubStats
from perflab.realtime.sockets import need_files
from perflab.realtime.tokens import Tokens
from perflab.report.not_run import NotRun
from perflab.services import Redis
from perflab.studies.loops import in_own_loop
from perflab.studies.prefixes import own_prefix

CHANNELS: Final = 50
MESSAGES_PER_S: Final = 20.0
"""Of all channels together; each goes to every connection of its channel."""
AT_ONCE: Final = 50
"""Connections that are opened at one time."""
_LASTS_S: Final = 600.0
_PATIENT: Final = ClientSettings(connect_timeout_s=10.0, reply_timeout_s=30.0)


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What became of the connections."""

    asked: int
    held: int
    """Open at once, as the hub says, from the first message to the last, and none lost."""
    opening_s: float
    """Until the last of them was subscribed."""
    seconds: float
    published: int
    expected: int
    """Deliveries: every message to every connection of its channel."""
    latency_s: NDArray[np.float64]
    """From the moment at which a message was due to its arrival, of each delivery."""
    hub: HubStats
    hub_cpu_s: float
    """Of the hub, from the first message to the last."""
    hub_bytes: int
    """Its resident memory."""


def hold_connections(
    redis: Redis, count: int, seconds: float, seed: int, core: int | None = None
) -> Crowd | NotRun:
    """Open ``count`` connections to a hub of their own, and send messages while all are open.

    Each connection is one client of the lab's, subscribed to one of 50 channels. Messages come at
    random (Poisson). A NotRun says why so many cannot be opened here.
    """
    secret = secrets.token_urlsafe(32)
    order = HubOrder(
        redis=redis.url(),
        secret=secret,
        prefix=own_prefix(redis, "hub"),
        settings=HubSettings(max_connections=count),
    )
    try:
        need_files(count)
        with HubProcess(order, core=core) as hub:
            return in_own_loop(_crowd(hub, Tokens(secret), count, seconds, seed))
    except RealtimeError as error:
        return NotRun(f"{count:,} WebSocket connections", str(error))


async def _crowd(hub: HubProcess, tokens: Tokens, count: int, seconds: float, seed: int) -> Crowd:
    latency: list[float] = []

    def arrived(message: Message) -> None:
        latency.append(time.perf_counter() - float(message.data))

    async with contextlib.AsyncExitStack() as stack:
        room = asyncio.Semaphore(AT_ONCE)

        async def opened(number: int) -> RealtimeClient:
            async with room:
                token = tokens.sign(str(number), _LASTS_S)
                client = RealtimeClient([hub.url], token, settings=_PATIENT, seed=seed + number)
                await stack.enter_async_context(client)
                await client.subscribe(_channel(number), arrived)
                return client

        began = time.perf_counter()
        clients = await asyncio.gather(*(opened(number) for number in range(count)))
        opening_s = time.perf_counter() - began
        before = hub.report()
        published = await _publish(clients, seconds, seed)
        expected = sum(len(range(channel, count, CHANNELS)) for channel in published)
        await _until_delivered(latency, expected)
        after = hub.report()
    lost = after.stats.opened - count
    return Crowd(
        asked=count,
        held=min(before.stats.connections, after.stats.connections) - max(lost, 0),
        opening_s=opening_s,
        seconds=seconds,
        published=len(published),
        expected=expected,
        latency_s=np.array(latency),
        hub=after.stats,
        hub_cpu_s=after.cpu_s - before.cpu_s,
        hub_bytes=after.rss_bytes,
    )


async def _publish(clients: list[RealtimeClient], seconds: float, seed: int) -> list[int]:
    """Send messages at their times, each into a channel drawn by chance; the channels."""
    due_s = poisson(MESSAGES_PER_S, seed=seed, seconds=seconds)
    drawn = np.random.default_rng([seed, 6]).integers(CHANNELS, size=len(due_s))
    channels = [int(channel) for channel in drawn]
    begin = time.perf_counter()
    sent = []
    for number, (due, channel) in enumerate(zip(due_s.tolist(), channels, strict=True)):
        at = begin + due
        await asyncio.sleep(max(at - time.perf_counter(), 0.0))
        # each of another user, so that nobody meets the quota of one connection
        sender = clients[number % len(clients)]
        sent.append(asyncio.create_task(sender.publish(_channel(channel), at)))
    await asyncio.gather(*sent)
    return channels


async def _until_delivered(latency: list[float], expected: int) -> None:
    """Until every delivery has come, or none has for two seconds."""
    seen, since = -1, time.perf_counter()
    while len(latency) < expected and time.perf_counter() - since < 2.0:
        if len(latency) != seen:
            seen, since = len(latency), time.perf_counter()
        await asyncio.sleep(0.02)


def _channel(number: int) -> str:
    return f"load-{number % CHANNELS}"
