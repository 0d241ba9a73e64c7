"""Connections kept open against a connection for each message: the plan's last claim."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar

from perflab.measure.comparison import Comparison, compare
from perflab.measure.experiment import Arm, Draw, Experiment, Operation, Params, Progress
from perflab.profiles import RealtimeSizes
from perflab.ratelimit import Policy
from perflab.realtime import Message
from perflab.realtime.client import RealtimeClient
from perflab.realtime.hub import HubSettings
from perflab.realtime.tokens import Tokens
from perflab.services import Redis
from perflab.studies.realtime.stage import PATIENT, Stage, stage

T = TypeVar("T")

_CHANNEL: Final = "pooled"
_LANE: Final = "critical"
"""Normal messages wait for their batch in both arms, which would hide the difference."""
_PATIENCE_S: Final = 20.0
_UNLIMITED: Final = Policy(name="realtime", limit=100_000, period_s=5)
"""The rate limit is not what is measured."""


class _Parties:
    """A subscriber and a publisher in an event loop of their own."""

    def __init__(self, opened: Stage) -> None:
        self._urls = [hub.url for hub in opened.hubs]
        self._tokens = Tokens(opened.secret)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = AsyncExitStack()
        self._arrived: asyncio.Event = asyncio.Event()
        self._standing: list[RealtimeClient] = []

    def __enter__(self) -> _Parties:
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def each_anew(self, operation: Operation, params: Params) -> int:
        """Connect, publish, close; returns when the subscriber has the message."""
        return self._do(self._each_anew())

    def kept(self, number: int) -> Arm:
        """Publish over a connection that stands; each number has its own."""

        def call(operation: Operation, params: Params) -> int:
            return self._do(self._through(self._standing[number]))

        return Arm(("kept open", "kept open, again")[number], call)

    async def _open(self) -> None:
        def arrived(message: Message) -> None:
            self._arrived.set()

        reader = await self._stack.enter_async_context(self._client())
        await reader.subscribe(_CHANNEL, arrived)
        for _ in range(2):
            self._standing.append(await self._stack.enter_async_context(self._client()))

    async def _each_anew(self) -> int:
        async with self._client() as client:
            return await self._through(client)

    async def _through(self, client: RealtimeClient) -> int:
        self._arrived.clear()
        await client.publish(_CHANNEL, 1, _LANE)
        async with asyncio.timeout(_PATIENCE_S):
            await self._arrived.wait()
        return 1

    def _client(self) -> RealtimeClient:
        return RealtimeClient(self._urls, self._tokens.sign("1", 3_600.0), settings=PATIENT)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * _PATIENCE_S)


def measure_pooling(
    redis: Redis, sizes: RealtimeSizes, seed: int, progress: Progress | None = None
) -> Comparison:
    """From the call of publish until the subscriber has the message, a connection each or kept."""
    with stage(redis, HubSettings(policy=_UNLIMITED), hubs=1) as opened, _Parties(opened) as both:
        experiment = Experiment(
            before=Arm("a connection each", both.each_anew),
            after=both.kept(0),
            control=both.kept(1),
            operations=[Operation("publish", "publish", lambda rng: Draw())],
            rounds=sizes.rounds,
            calls=sizes.calls,
            seed=seed,
        )
        return compare(experiment.run(progress))
