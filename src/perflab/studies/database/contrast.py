"""An experiment over three connections: before, after, and after once more as the control."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import psycopg

from perflab.database.session import Session
from perflab.errors import ParameterError
from perflab.measure.experiment import Arm, Draw, Experiment, Operation, Params
from perflab.measure.samples import Samples
from perflab.parameters import PlanCacheMode
from perflab.progress import Step

EVICT_ALL = 180000
"""The first server version with pg_buffercache_evict_all."""

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
    cold_buffers: bool = False,
    step: Step | None = None,
) -> Samples:
    """Connect each arm for the length of the experiment and run it.

    ``cold_buffers`` empties the server's buffers before each call, untimed; the operating
    system's cache stays warm.
    """
    each = calls_by_arm if isinstance(calls_by_arm, tuple) else (calls_by_arm,) * 3
    with ExitStack() as stack:
        arms = []
        for name, conninfo, call in zip(names, conninfos, each, strict=True):
            session = Session(conninfo, plan_cache_mode=plan_cache_mode)
            stack.callback(session.close)
            evict = stack.enter_context(_evicting(conninfo)) if cold_buffers else None
            arms.append(Arm(name, _bind(call, session), before_call=evict))
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


@contextmanager
def _evicting(conninfo: str) -> Iterator[Callable[[], None]]:
    """A function that empties the server's buffers, over a connection of its own."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        if conn.info.server_version < EVICT_ALL:
            raise ParameterError(
                f"cold_buffers=True needs PostgreSQL 18, this is {conn.info.server_version}"
            )
        try:
            conn.execute("CREATE EXTENSION IF NOT EXISTS pg_buffercache")
        except psycopg.Error as error:
            raise ParameterError(
                f"cold_buffers=True needs the extension pg_buffercache: {str(error).strip()}"
            ) from None

        def evict() -> None:
            conn.execute("SELECT pg_buffercache_evict_all()")

        yield evict


def _bind(call: Call, session: Session) -> Callable[[Operation, Params], int]:
    def bound(operation: Operation, params: Params) -> int:
        return call(session, operation, params)

    return bound
