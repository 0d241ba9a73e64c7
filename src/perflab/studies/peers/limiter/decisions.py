"""Decisions at 50 concurrent callers: ours against limits and throttled-py, all admitted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Any, Final

import numpy as np

from perflab.measure.experiment import Arm, Draw, Operation, Params
from perflab.progress import Step
from perflab.ratelimit.policies import Algorithm
from perflab.services import Redis as Server
from perflab.studies.peers.contest import Contest, Sizes, concurrently, hold, in_thread
from perflab.studies.peers.limiter.sides import (
    Decide,
    bare_script,
    limits_moving_window,
    ours,
    throttled_gcra,
    warm,
)

CALLERS: Final = 50
CHECKS_A_CALLER: Final = 10
SUBJECTS: Final = 1_000
EXACT: Final = "exact window"
GCRA: Final = "GCRA"
LIMITS: Final = "limits, as it comes"
LIMITS_FAST: Final = "limits, without timeouts"
THROTTLED: Final = "throttled-py, as it comes"
THROTTLED_FAST: Final = "throttled-py, without timeouts"
BARE: Final = "redis-py, a script that only counts"

Opened = Callable[[Server], AbstractAsyncContextManager[Decide]]

RIVALS: Final[Mapping[str, tuple[str, Algorithm, Opened]]] = {
    LIMITS: (EXACT, "sliding_log", partial(limits_moving_window, timeouts=True)),
    LIMITS_FAST: (EXACT, "sliding_log", partial(limits_moving_window, timeouts=False)),
    THROTTLED: (GCRA, "gcra", partial(throttled_gcra, timeouts=True)),
    THROTTLED_FAST: (GCRA, "gcra", partial(throttled_gcra, timeouts=False)),
    BARE: (GCRA, "gcra", bare_script),
}
"""Each rival's work, our algorithm that promises the same, and how the rival is opened."""


def measure_decisions(server: Server, sizes: Sizes, step: Step | None = None) -> list[Contest]:
    """``CALLERS`` callers, each awaiting one decision after the other, of ``SUBJECTS`` subjects.

    Every request is within its quota, so every decision is a full one and a charge. Each contest
    has keys of its own on all sides. The yardstick is no limiter: one script call a caller through
    redis-py, which is what any limiter pays that sends its calls singly.
    """

    def draw(rng: np.random.Generator) -> Draw:
        return Draw({"plan": rng.integers(SUBJECTS, size=(CALLERS, CHECKS_A_CALLER)).tolist()})

    def work(runner: asyncio.Runner) -> list[Contest]:
        return [_held(runner, server, rival, draw, sizes, step) for rival in RIVALS]

    return in_thread(work)


def _held(
    runner: asyncio.Runner,
    server: Server,
    rival: str,
    draw: Callable[[np.random.Generator], Draw],
    sizes: Sizes,
    step: Step | None,
) -> Contest:
    kind, algorithm, opened = RIVALS[rival]
    stack = AsyncExitStack()

    async def side(opening: AbstractAsyncContextManager[Decide]) -> Decide:
        decide = await stack.enter_async_context(opening)
        await warm(decide, CALLERS)
        return decide

    def arm(name: str, opening: AbstractAsyncContextManager[Decide]) -> Arm:
        decide = runner.run(side(opening))

        def call(_operation: Operation, params: Params) -> int:
            plan: Any = params["plan"]
            return runner.run(concurrently(decide, plan))

        return Arm(name, call)

    try:
        return hold(
            f"{CALLERS} callers, {kind}",
            (
                arm(rival, opened(server)),
                arm("limiter", ours(server, algorithm)),
                arm("limiter again", ours(server, algorithm)),
            ),
            draw,
            sizes,
            requests=CALLERS * CHECKS_A_CALLER,
            step=step,
            yardstick=rival == BARE,
        )
    finally:
        runner.run(stack.aclose())
