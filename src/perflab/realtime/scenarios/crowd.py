"""The connections of a scenario, opened some at a time, and what each of them is given."""

from __future__ import annotations

import asyncio
import time
from array import array
from contextlib import AsyncExitStack
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perflab.realtime.client import ClientSettings, RealtimeClient
from perflab.realtime.client.subscription import OnMessage
from perflab.realtime.errors import RealtimeError
from perflab.realtime.messages import Message
from perflab.realtime.scenarios.numbered import number_of
from perflab.realtime.scenarios.scenario import SocketScenario

_SEEDS: Final = 2


class Crowd:
    """One client a connection, each subscribed to its channel.

    Args:
        scenario: who they are and where they go.
        channels: the channels' names.
    """

    def __init__(self, scenario: SocketScenario, channels: tuple[str, ...]) -> None:
        self._scenario = scenario
        self._channels = channels
        self._settings = ClientSettings(
            connect_timeout_s=scenario.timeout_s, reply_timeout_s=scenario.timeout_s
        )
        self._clients: dict[int, RealtimeClient] = {}
        self._outages_before: dict[int, int] = {}
        self._failed = 0
        self.why = ""
        """The first reason for which a connection could not be had."""
        self.message, self.connection = array("q"), array("q")
        """Of each delivery: which message came, and where."""
        self.got = array("d")
        """Of each delivery: when, by ``perf_counter``."""

    async def gather(self, stack: AsyncExitStack) -> None:
        """Open all of them, or as many as can be had; they close with the stack.

        Where none of the first can be had, the others are not tried.
        """
        scenario = self._scenario
        gate = asyncio.Semaphore(scenario.opening_at_once)

        async def one(number: int) -> None:
            async with gate:
                if not self._clients and self._failed >= scenario.opening_at_once:
                    self._failed += 1
                    return
                try:
                    await self._open(number, stack)
                except RealtimeError as error:
                    self._failed += 1
                    self.why = self.why or str(error)

        await asyncio.gather(*(one(number) for number in range(scenario.connections)))

    async def _open(self, number: int, stack: AsyncExitStack) -> None:
        scenario = self._scenario
        client = RealtimeClient(
            scenario.endpoints,
            scenario.tokens[number] or None,
            settings=self._settings,
            seed=int(np.random.default_rng([scenario.seed, _SEEDS, number]).integers(2**32)),
        )
        await stack.enter_async_context(client)
        await client.subscribe(self._channels[number % len(self._channels)], self._reader(number))
        self._clients[number] = client

    def _reader(self, number: int) -> OnMessage:
        def read(message: Message) -> None:
            self.got.append(time.perf_counter())
            self.message.append(number_of(message.data))
            self.connection.append(number)

        return read

    def begin(self) -> None:
        """From here on a connection that breaks off is lost."""
        self._outages_before = {n: len(c.outages) for n, c in self._clients.items()}

    @property
    def senders(self) -> list[RealtimeClient]:
        """Those that were opened, in order."""
        return [self._clients[number] for number in sorted(self._clients)]

    @property
    def open(self) -> int:
        """How many are connected now."""
        return sum(client.state == "connected" for client in list(self._clients.values()))

    @property
    def failed(self) -> int:
        """How many could not be had."""
        return self._failed

    @property
    def opened(self) -> NDArray[np.bool_]:
        """Of each connection: whether it was ever subscribed."""
        found = np.zeros(self._scenario.connections, dtype=np.bool_)
        found[list(self._clients)] = True
        return found

    @property
    def lost(self) -> NDArray[np.int64]:
        """Of each connection: how often it broke off since the beginning."""
        found = np.zeros(self._scenario.connections, dtype=np.int64)
        for number, before in self._outages_before.items():
            found[number] = len(self._clients[number].outages) - before
        return found
