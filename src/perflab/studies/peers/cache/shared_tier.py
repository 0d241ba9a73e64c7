"""The Redis tier at 50 concurrent gets, against redis-py's asyncio client as it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from redis.asyncio import Redis

from perflab.cache.codec import Codec
from perflab.cache.entry import Entry
from perflab.cache.redis import RedisTier
from perflab.measure.experiment import Arm, Draw, Operation, Params
from perflab.progress import Step
from perflab.services import Redis as Server
from perflab.studies.peers.cache.profiles import Profile, profile
from perflab.studies.peers.contest import (
    Contest,
    ContestError,
    Sizes,
    concurrently,
    hold,
    in_thread,
)
from perflab.studies.prefixes import own_prefix

CALLERS: Final = 50
GETS_A_CALLER: Final = 40
KEYS: Final = 1_000
TTL_S: Final = 3_600
PATIENCE_S: Final = 2.0
"""The tier's budget here: like redis-py it waits for every answer."""
AS_IT_COMES: Final = "redis-py, as it comes"
NO_TIMEOUT: Final = "redis-py, without timeouts"
BY_HAND: Final = "redis-py, one MGET for all callers, by hand"

Plan: TypeAlias = Sequence[Sequence[int]]
"""For each caller the numbers that it asks for."""
Ask: TypeAlias = Callable[[Plan], Coroutine[Any, Any, int]]
"""Works off a plan and returns how many answers were right."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Profile).decode


def measure_concurrent_gets(
    server: Server, sizes: Sizes, step: Step | None = None
) -> list[Contest]:
    """``CALLERS`` callers, each awaiting one get after the other, of values all stored.

    Both sides end with the decoded value. redis-py's default timeout costs a task a command, so
    it also runs without, although a get may then hang for ever; the tier keeps its limit. The
    yardstick does by hand what the tier does for its callers, without expiry, tags and limits.
    """

    def draw(rng: np.random.Generator) -> Draw:
        return Draw({"plan": rng.integers(KEYS, size=(CALLERS, GETS_A_CALLER)).tolist()})

    def work(runner: asyncio.Runner) -> list[Contest]:
        stack, rivals, ours, again = runner.run(_open(server))
        try:
            return [
                hold(
                    f"{CALLERS} concurrent gets",
                    (
                        _arm(runner, name, ask),
                        _arm(runner, "Redis tier", ours),
                        _arm(runner, "Redis tier again", again),
                    ),
                    draw,
                    sizes,
                    requests=CALLERS * GETS_A_CALLER,
                    step=step,
                    yardstick=name == BY_HAND,
                )
                for name, ask in rivals.items()
            ]
        finally:
            runner.run(stack.aclose())

    return in_thread(work)


def _arm(runner: asyncio.Runner, name: str, ask: Ask) -> Arm:
    def call(_operation: Operation, params: Params) -> int:
        plan: Any = params["plan"]
        return runner.run(ask(plan))

    return Arm(name, call)


async def _open(server: Server) -> tuple[AsyncExitStack, dict[str, Ask], Ask, Ask]:
    """Everything connected, every value stored for both sides."""
    url, prefix = server.url(), own_prefix(server, "peers")
    names = [f"{prefix}plain:{number}" for number in range(KEYS)]
    async with AsyncExitStack() as stack:
        plain = Redis.from_url(url)
        patient = Redis.from_url(url, socket_timeout=None)
        for client in (plain, patient):
            stack.push_async_callback(client.aclose)
        async with plain.pipeline(transaction=False) as pipeline:
            for number, name in enumerate(names):
                pipeline.set(name, _encode(profile(number)), ex=TTL_S)
            await pipeline.execute()
        tier, other = [
            await stack.enter_async_context(
                RedisTier(url, prefix=f"{prefix}tier:", codec=Codec(Profile), budget_s=PATIENCE_S)
            )
            for _ in range(2)
        ]
        for start in range(0, KEYS, CALLERS):  # all at once could take longer than the budget
            some = range(start, min(start + CALLERS, KEYS))
            await asyncio.gather(*(_store(tier, number) for number in some))
        rivals = {
            AS_IT_COMES: _singly(plain, names),
            NO_TIMEOUT: _singly(patient, names),
            BY_HAND: _by_hand(patient, names),
        }
        return stack.pop_all(), rivals, _through(tier), _through(other)


async def _store(tier: RedisTier, number: int) -> None:
    lease = await tier.lease(str(number))
    now = time.time()
    entry = Entry(profile(number), now, now + TTL_S, now + TTL_S)
    if lease is None or not await tier.fill(lease, entry):
        raise ContestError("the Redis tier could not be filled: is the server full or read-only?")


def _singly(client: Any, names: Sequence[str]) -> Ask:
    async def get(number: int) -> bool:
        data = await client.get(names[number])
        return data is not None and _decode(data).id == number

    return lambda plan: concurrently(get, plan)


def _by_hand(client: Any, names: Sequence[str]) -> Ask:
    async def ask(plan: Plan) -> int:
        right = 0
        for numbers in zip(*plan, strict=True):
            found = await client.mget([names[number] for number in numbers])
            for number, data in zip(numbers, found, strict=True):
                right += data is not None and _decode(data).id == number
        return right

    return ask


def _through(tier: RedisTier) -> Ask:
    keys = [str(number) for number in range(KEYS)]

    async def get(number: int) -> bool:
        entry = (await tier.get(keys[number])).entry
        return entry is not None and entry.value.id == number

    return lambda plan: concurrently(get, plan)
