"""Many real-time clients in a process of their own, told what to do by lines of JSON.

The first line is a ``CrowdOrder``, secrets included. It answers with a ``Gathered``. After that it
takes ``collect <file>``, ``drop``, ``state`` and ``waiting``; each is answered with a line.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from array import array
from contextlib import AsyncExitStack

import msgspec
import numpy as np
import uvloop

from perflab.realtime import Message
from perflab.realtime.client import ClientSettings, Outage, RealtimeClient, Subscription
from perflab.realtime.client.subscription import OnMessage
from perflab.realtime.scenarios.numbered import number_of
from perflab.realtime.sockets import need_files
from perflab.realtime.tokens import Tokens

_AT_ONCE = 50
"""Handshakes under way at once while a crowd gathers."""
_TOKEN_S = 86_400.0
_NICE = 5
"""A thousand clients give way to the one publisher beside them, which has a schedule to keep."""


class CrowdOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Who comes, and where to."""

    urls: list[str]
    secret: str
    clients: int
    channels: list[str]
    """Client number n subscribes to the one at n modulo their number."""
    settings: ClientSettings
    reads: bool = True
    """Whether they take what comes; those that do not read stand still."""
    seed: int = 0


class Gathered(msgspec.Struct, frozen=True):
    """How the crowd came together."""

    ready_s: list[float]
    """Of each client: from its start until it was subscribed."""
    took_s: float


class Seen(msgspec.Struct, frozen=True):
    """What became of one client."""

    state: str
    outages: list[Outage]
    gaps: int
    missed: int
    """Messages that it knows it did not get."""
    duplicates: int


class Crowd:
    """The clients of this process."""

    def __init__(self, order: CrowdOrder) -> None:
        self._order = order
        self._clients: list[RealtimeClient] = []
        self._subscriptions: list[Subscription] = []
        self._clear()

    def _clear(self) -> None:
        self._who, self._ids = array("i"), array("q")
        self._got = array("d")

    async def gather(self, stack: AsyncExitStack) -> Gathered:
        """Connect and subscribe everybody."""
        tokens = Tokens(self._order.secret)
        gate = asyncio.Semaphore(_AT_ONCE)
        channels = self._order.channels

        async def join(number: int) -> float:
            async with gate:
                began = time.monotonic()
                client = RealtimeClient(
                    self._order.urls,
                    tokens.sign(str(number), _TOKEN_S),
                    settings=self._order.settings,
                    seed=self._order.seed + number,
                )
                self._clients.append(await stack.enter_async_context(client))
                self._subscriptions.append(
                    await client.subscribe(
                        channels[number % len(channels)],
                        self._reader(number) if self._order.reads else None,
                    )
                )
                return time.monotonic() - began

        began = time.monotonic()
        ready = await asyncio.gather(*(join(number) for number in range(self._order.clients)))
        return Gathered(list(ready), time.monotonic() - began)

    def _reader(self, number: int) -> OnMessage:
        def read(message: Message) -> None:
            got = time.monotonic()
            self._who.append(number)
            self._ids.append(number_of(message.data))
            self._got.append(got)

        return read

    def collect(self, path: str) -> bytes:
        """Write what came since the last time."""
        np.savez(
            path,
            who=np.array(self._who),
            id=np.array(self._ids),
            got=np.array(self._got),
        )
        count = len(self._ids)
        self._clear()
        return str(count).encode()

    async def drop(self) -> bytes:
        """Cut every connection at once; answers when every client knows."""
        known = [len(client.outages) for client in self._clients]
        at = time.monotonic()
        for client in self._clients:
            client.drop()
        while any(len(one.outages) == n for one, n in zip(self._clients, known, strict=True)):
            await asyncio.sleep(0.001)
        return msgspec.json.encode(at)

    def state(self) -> bytes:
        """What became of everybody."""
        return msgspec.json.encode(
            [
                Seen(
                    client.state,
                    list(client.outages),
                    subscription.gaps,
                    subscription.cursor.missed,
                    subscription.cursor.duplicates,
                )
                for client, subscription in zip(self._clients, self._subscriptions, strict=True)
            ]
        )

    def waiting(self) -> bytes:
        """How many are not connected."""
        return str(sum(client.state != "connected" for client in self._clients)).encode()


async def _main() -> None:
    os.nice(_NICE)
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    order = msgspec.json.decode(await reader.readline(), type=CrowdOrder)
    need_files(order.clients)
    async with AsyncExitStack() as stack:
        crowd = Crowd(order)
        _say(msgspec.json.encode(await crowd.gather(stack)))
        gc.collect()
        gc.freeze()
        while line := (await reader.readline()).decode().strip():
            verb, _, path = line.partition(" ")
            match verb:
                case "collect":
                    _say(crowd.collect(path))
                case "drop":
                    _say(await crowd.drop())
                case "state":
                    _say(crowd.state())
                case "waiting":
                    _say(crowd.waiting())


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(_main())
