"""A warm tiered get: what ``get_or_load`` costs where memory has the value."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import numpy as np

from perflab.measure.experiment import Arm, Draw, Operation, Params
from perflab.progress import Step
from perflab.services import Redis as Server
from perflab.studies.peers.cache.profiles import Profile, profile
from perflab.studies.peers.cache.sides import POLICY, TAGS, opened_ours
from perflab.studies.peers.contest import Contest, Sizes, hold, in_thread

WORK: Final = "warm tiered get"
EMPTY: Final = "a coroutine around a dict lookup"
KEYS: Final = tuple(f"profile:{number}" for number in range(100))
GETS: Final = 5_000

_VALUES: Final = {key: profile(number) for number, key in enumerate(KEYS)}

Get = Callable[..., Awaitable[Profile]]


def measure_warm_get(server: Server, sizes: Sizes, step: Step | None = None) -> Contest:
    """One caller, every get a memory hit, key and loader at hand.

    The other side is a yardstick: what awaiting any coroutine costs. Ours and ours again are one
    cache: of twins, one is faster by about a hundredth, as long as the process lives, by where it
    lies in memory. At a few hundred nanoseconds a get that is more than the noise of all rounds,
    and so the A/A ratio would be about the twins and not about the set-up.
    """

    def draw(rng: np.random.Generator) -> Draw:
        return Draw({"keys": [KEYS[n] for n in rng.integers(len(KEYS), size=GETS)]})

    def work(runner: asyncio.Runner) -> Contest:
        with opened_ours(runner, server) as (ours, _):
            get = ours.cache.get_or_load
            runner.run(_ask(get, KEYS))
            arms = (
                _arm(runner, EMPTY, _empty),
                _arm(runner, "tiered cache", get),
                _arm(runner, "tiered cache again", get),
            )
            return hold(WORK, arms, draw, sizes, requests=GETS, step=step, yardstick=True)

    return in_thread(work)


def _arm(runner: asyncio.Runner, name: str, get: Get) -> Arm:
    def call(_operation: Operation, params: Params) -> int:
        keys: Any = params["keys"]
        return runner.run(_ask(get, keys))

    return Arm(name, call)


async def _ask(get: Get, keys: Sequence[str]) -> int:
    found = 0
    for key in keys:
        value = await get(key, _load, POLICY, TAGS)
        if value is not None:
            found += 1
    return found


async def _empty(key: str, _loader: object, _policy: object, _tags: object) -> Profile:
    return _VALUES[key]


async def _load() -> Profile:
    return profile(0)
