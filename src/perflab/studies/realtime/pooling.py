"""Connections kept open against a connection for each message, and several against one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from perflab.measure.comparison import Comparison, compare
from perflab.measure.experiment import Arm, Draw, Experiment, Operation, Params, Progress
from perflab.profiles import RealtimeSizes
from perflab.ratelimit import Policy
from perflab.realtime import Message
from perflab.realtime.client import ClientPool, RealtimeClient
from perflab.realtime.hub import HubSettings
from perflab.realtime.tokens import Tokens
from perflab.services import Redis
from perflab.studies.realtime.stage import PATIENT, Stage, stage

T = TypeVar("T")

BURST: Final = 12
"""Messages at once, each into a channel of its own."""
POOL: Final = 4
_CHANNELS: Final = tuple(f"pooled{number}" for number in range(BURST))
_LANE: Final = "critical"
"""Normal messages wait for their batch in both arms, which would hide the difference."""
_PATIENCE_S: Final = 20.0
_UNLIMITED: Final = Policy(name="realtime", limit=100_000, period_s=5)
"""The rate limit is not what is measured."""


@dataclass(frozen=True)
class Pooling:
    """From the call of publish until the subscriber has the message, or all of them."""

    kept: Comparison
    """One message over a connection of its own, or over one that stays open: the plan's claim."""
    several: Comparison
    """A burst of messages over one connection, or over a pool."""


class _Parties:
    """A subscriber and a publisher in an event loop of their own."""

    def __init__(self, opened: Stage) -> None:
        self._urls = [hub.url for hub in opened.hubs]
        self._tokens = Tokens(opened.secret)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = AsyncExitStack()
        self._arrived: asyncio.Event = asyncio.Event()
        self._awaited = 0
        self._standing: list[RealtimeClient] = []
        self._pools: list[ClientPool] = []

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

    def shared(self) -> Arm:
        """Publish a burst over one connection."""
        return Arm("one connection", lambda *_: self._do(self._burst(self._standing[0])))

    def pooled(self, number: int) -> Arm:
        """Publish a burst over a pool; each number has its own."""
        name = (f"a pool of {POOL}", f"a pool of {POOL}, again")[number]
        return Arm(name, lambda *_: self._do(self._burst(self._pools[number])))

    async def _open(self) -> None:
        def arrived(message: Message) -> None:
            self._awaited -= 1
            if not self._awaited:
                self._arrived.set()

        reader = await self._stack.enter_async_context(self._client())
        for channel in _CHANNELS:
            await reader.subscribe(channel, arrived)
        for _ in range(2):
            self._standing.append(await self._stack.enter_async_context(self._client()))
            pool = ClientPool(self._urls, self._token(), size=POOL, settings=PATIENT)
            self._pools.append(await self._stack.enter_async_context(pool))

    async def _each_anew(self) -> int:
        async with self._client() as client:
            return await self._through(client)

    async def _through(self, client: RealtimeClient) -> int:
        return await self._published(client, _CHANNELS[:1])

    async def _burst(self, client: RealtimeClient | ClientPool) -> int:
        return await self._published(client, _CHANNELS)

    async def _published(self, client: RealtimeClient | ClientPool, channels: Sequence[str]) -> int:
        self._awaited = len(channels)
        self._arrived.clear()
        await asyncio.gather(*(client.publish(channel, 1, _LANE) for channel in channels))
        async with asyncio.timeout(_PATIENCE_S):
            await self._arrived.wait()
        return len(channels)

    def _client(self) -> RealtimeClient:
        return RealtimeClient(self._urls, self._token(), settings=PATIENT)

    def _token(self) -> str:
        return self._tokens.sign("1", 3_600.0)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * _PATIENCE_S)


def measure_pooling(
    redis: Redis, sizes: RealtimeSizes, seed: int, progress: Progress | None = None
) -> Pooling:
    """A connection each or kept, then a burst over one or over several."""
    with stage(redis, HubSettings(policy=_UNLIMITED), hubs=1) as opened, _Parties(opened) as both:

        def held(name: str, before: Arm, after: Arm, control: Arm) -> Comparison:
            experiment = Experiment(
                before=before,
                after=after,
                control=control,
                operations=[Operation(name, "publish", lambda rng: Draw())],
                rounds=sizes.rounds,
                calls=sizes.calls,
                seed=seed,
            )
            return compare(experiment.run(progress))

        each = Arm("a connection each", both.each_anew)
        return Pooling(
            kept=held("publish", each, both.kept(0), both.kept(1)),
            several=held("burst", both.shared(), both.pooled(0), both.pooled(1)),
        )
