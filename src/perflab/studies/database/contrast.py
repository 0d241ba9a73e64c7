"""An experiment over three connections: before, after, and after once more as the control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np

from perflab.database.session import Session
from perflab.measure.experiment import Arm, Draw, Experiment, Operation, Params
from perflab.measure.samples import Samples
from perflab.parameters import PlanCacheMode
from perflab.progress import Step

Call = Callable[[Session, Operation, Params], int]
"""Does one operation over an arm's connection and returns the rows that came back."""


def always(params: Params) -> Callable[[np.random.Generator], Draw]:
    """The same parameters at every call."""
    return lambda _rng: Draw(params)


def run_contrast(
    conninfos: tuple[str, str, str],
    calls_by_arm: Call | tuple[Call, Call, Call],
    operations: Sequence[Operation],
    *,
    rounds: int,
    calls: int,
    seed: int,
    plan_cache_mode: PlanCacheMode,
    warmup: int = 1,
    names: tuple[str, str, str] = ("before", "after", "after again"),
    step: Step | None = None,
) -> Samples:
    """Connect each arm for the length of the experiment and run it."""
    each = calls_by_arm if isinstance(calls_by_arm, tuple) else (calls_by_arm,) * 3
    with ExitStack() as stack:
        arms = []
        for name, conninfo, call in zip(names, conninfos, each, strict=True):
            session = Session(conninfo, plan_cache_mode=plan_cache_mode)
            stack.callback(session.close)
            arms.append(Arm(name, _bind(call, session)))
        return Experiment(
            before=arms[0],
            after=arms[1],
            control=arms[2],
            operations=operations,
            rounds=rounds,
            calls=calls,
            warmup=warmup,
            seed=seed,
        ).run(step)


def _bind(call: Call, session: Session) -> Callable[[Operation, Params], int]:
    def bound(operation: Operation, params: Params) -> int:
        return call(session, operation, params)

    return bound
