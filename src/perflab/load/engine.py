"""Carries a load out in an event loop made for it, and turns the rows into samples."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import time
from array import array
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

import numpy as np
import uvloop
from numpy.typing import NDArray

from perflab.load.busy import BusyClock
from perflab.load.connection import Field
from perflab.load.errors import LoadError
from perflab.load.live import LiveFigures
from perflab.load.pacing import pace_closed, pace_open
from perflab.load.plan import Closed, Plan
from perflab.load.pool import Pool
from perflab.load.recorder import Recorder
from perflab.load.samples import LoadSamples

T = TypeVar("T")

LEAD_S: Final = 0.005
"""From the moment when all is ready to time 0."""
_SHORTEST_S: Final = 0.1
"""The share of busy time is taken of at least this time: one request alone is no saturation."""


class Engine(Generic[T]):
    """Runs the coroutine of one load. ``stop`` may be called from another thread."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._loop = uvloop.new_event_loop()
        self._task: asyncio.Task[T] = self._loop.create_task(work())
        self._defect: BaseException | None = None
        self._loop.set_exception_handler(self._failed)

    def run(self) -> T:
        """Carry the load out in this thread, in which no other loop may be running.

        What the coroutine returns or raises; a ``CancelledError`` if ``stop`` has ended it.
        """
        try:
            with contextlib.suppress(asyncio.CancelledError):
                result = self._loop.run_until_complete(self._task)
                if self._defect is None:
                    return result
        finally:
            self._loop.close()
        raise self._defect or asyncio.CancelledError  # with what caused the defect as its context

    def stop(self) -> None:
        """Cancel the coroutine."""
        with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
            self._loop.call_soon_threadsafe(self._task.cancel)

    def _failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error in a callback would leave a request without an outcome: end with it instead."""
        if self._defect is None:
            self._defect = context.get("exception") or RuntimeError(context["message"])
            self._task.cancel()


async def carry_out(plan: Plan, live: LiveFigures | None = None) -> LoadSamples:
    """The samples of a plan, counted along by ``live``; a LoadError if the host has no address."""
    limits, shape = plan.limits, plan.shape
    recorder = Recorder(
        0 if isinstance(shape, Closed) else len(shape.due_s),
        fields=limits.keep_header is not None,
        bodies=limits.keep_body,
    )
    pool = Pool(
        [plan.wires[number] for number in plan.order],
        recorder,
        connections=limits.connections,
        waiting=limits.waiting,
        timeout_s=limits.timeout_s,
        field=None if limits.keep_header is None else Field(limits.keep_header),
    )
    if live is not None:
        live.attach(recorder, pool)
    busy_clock = BusyClock()
    try:
        await open_pool(pool, plan.host, plan.port, tls=plan.tls, ahead=limits.connections)
        began_unix_s = time.time() + LEAD_S
        begin = time.perf_counter() + LEAD_S
        if isinstance(shape, Closed):
            end = begin + shape.window_s
            busy_s = await pace_closed(pool, shape.users, shape.think_s, begin, end, busy_clock)
        else:
            busy_s = await pace_open(pool, [begin + due for due in shape.due_s], busy_clock)
        paced_s = time.perf_counter() - begin
        await pool.drain()
    finally:
        busy_clock.close()
        await pool.close()
    return samples_of(
        recorder,
        begin,
        kind="closed" if isinstance(shape, Closed) else "open",
        window_s=shape.window_s,
        busy_share=busy_share(busy_s, paced_s),
        began_unix_s=began_unix_s,
        resent=pool.resent,
        connections_opened=pool.opened,
    )


async def open_pool(pool: Pool, host: str, port: int, *, tls: bool, ahead: int) -> None:
    """Open connections in advance.

    A LoadError if the host has no address, or a certificate that nobody vouches for.
    """
    try:
        await pool.open(host, port, tls=tls, ahead=ahead)
    except ssl.SSLCertVerificationError as error:
        raise LoadError(
            f"host: the certificate of {host!r} is not trusted ({error.verify_message}); put the"
            " certificate of its authority into a file, and name that in SSL_CERT_FILE"
        ) from None
    except OSError as error:
        raise LoadError(f"host: {host!r} has no address: {error}") from None


def busy_share(busy_s: float, paced_s: float) -> float:
    """The share of the time of pacing in which the generator worked."""
    return min(busy_s / max(paced_s, _SHORTEST_S), 1.0)


def samples_of(recorder: Recorder, begin: float, first: int = 0, **facts: Any) -> LoadSamples:
    """The rows from ``first`` on as samples, in seconds since ``begin``."""
    rows = recorder.rows

    def since(column: array[float]) -> NDArray[np.float64]:
        return np.array(column[first:rows]) - begin

    def texts(values: list[bytes | None] | None) -> tuple[bytes | None, ...] | None:
        return None if values is None else tuple(itertools.islice(values, first, rows))

    return LoadSamples(
        scheduled_s=since(recorder.scheduled),
        taken_s=since(recorder.taken),
        started_s=since(recorder.started),
        ended_s=since(recorder.ended),
        status=np.array(recorder.status[first:rows], dtype=np.int16),
        body_bytes=np.array(recorder.body_bytes[first:rows], dtype=np.int64),
        outcome=np.array(recorder.outcome[first:rows], dtype=np.int8),
        kept_header=texts(recorder.fields),
        bodies=texts(recorder.bodies),
        **facts,
    )
