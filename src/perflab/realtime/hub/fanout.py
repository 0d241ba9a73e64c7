"""From one message to many connections: encoded once, batched, and never waiting for a slow one."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from perflab.realtime.batching import NO_CHANNEL, Batch, Batches
from perflab.realtime.frames import message_entry, server_frame
from perflab.realtime.hub.connection import HubConnection
from perflab.realtime.hub.settings import HubSettings
from perflab.realtime.hub.stats import Counters
from perflab.realtime.messages import Message
from perflab.realtime.protocol import Control, control

_AT_ONCE: Final = 64
"""Connections written to before the event loop looks after others, critical messages among them."""
_LOOK_S: Final = 0.02
"""How often those whose sockets were full are looked at."""

Subscribers = dict[HubConnection, None]


class _Job(NamedTuple):
    """A batch on its way to those who were subscribed when it was closed."""

    batch: Batch
    frame: bytes
    left: Iterator[HubConnection]


class Fanout:
    """Sends messages to the connections of a channel.

    Critical messages are written at once. Normal ones wait in ``Batches`` and leave in turns of
    a few connections, in order. Which connections get a batch is fixed when it is closed.

    Args:
        slow: called with a connection that takes nothing any more.
    """

    def __init__(
        self, settings: HubSettings, counters: Counters, slow: Callable[[HubConnection], None]
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._slow = slow
        self._loop = asyncio.get_running_loop()
        self._batches = Batches(interval_s=settings.batch_interval_s, most=settings.batch_most)
        self._subscribers: dict[int, Subscribers] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._jobs: deque[_Job] = deque()
        self._pumping = False
        self._waiting: dict[HubConnection, None] = {}
        self._looking: asyncio.TimerHandle | None = None

    def open(self, number: int) -> Subscribers:
        """The subscribers of a channel, to be changed by whoever asked."""
        return self._subscribers.setdefault(number, {})

    def close(self, number: int) -> None:
        """The channel has no subscribers any more."""
        self._batches.take(number)
        del self._subscribers[number]

    def message(self, number: int, message: Message) -> None:
        """Send a message to the subscribers of a channel."""
        self._counters.heard += 1
        entry = message_entry(number, message.lane, message.offset, message.data)
        if message.lane == "critical":
            batch = Batch(number, 1, entry)
            frame = server_frame(entry)
            for connection in tuple(self._subscribers[number]):
                self._deliver(connection, frame, batch, critical=True)
            return
        full = self._batches.add(number, entry, self._loop.time())
        if full is not None:
            self._send(full)
        elif self._timer is None and self._batches.due_at is not None:
            self._timer = self._loop.call_at(self._batches.due_at, self._flush)

    def flush(self, number: int) -> None:
        """Close the batch of a channel: who subscribes from now on gets nothing of it."""
        batch = self._batches.take(number)
        if batch is not None:
            self._send(batch)

    def finish(self) -> None:
        """Send everything that waits for its time or its turn."""
        for batch in self._batches.flush():
            self._send(batch)
        while self._jobs:
            self._turn(sys.maxsize)

    def tell(self, connection: HubConnection, *values: Control, then: Batch | None = None) -> None:
        """Say something to one connection, in the critical lane; ``then`` follows at once."""
        payload = b"".join(control(value) for value in values)
        batch = Batch(NO_CHANNEL, 1, payload + (then.payload if then is not None else b""))
        if then is not None:
            self._counters.deliveries += then.messages
        self._write(connection, server_frame(batch.payload), batch, critical=True)

    def forget(self, connection: HubConnection, number: int) -> None:
        """Nothing of a channel that still waits for a connection is wanted."""
        if connection.outbox is not None:
            connection.outbox.forget(number)

    def ended(self, connection: HubConnection) -> None:
        """A connection is gone."""
        self._waiting.pop(connection, None)
        if connection.outbox is not None:
            self._counters.dropped += connection.outbox.dropped
            connection.outbox = None

    def stop(self) -> None:
        """Send nothing more by itself."""
        for timer in (self._timer, self._looking):
            if timer is not None:
                timer.cancel()
        self._jobs.clear()

    def _flush(self) -> None:
        self._timer = None
        due_at = self._batches.due_at
        if due_at is None:
            return
        if due_at > self._loop.time() + 1e-4:  # a batch was full before, and others began since
            self._timer = self._loop.call_at(due_at, self._flush)
            return
        self._counters.flushes += 1
        for batch in self._batches.flush():
            self._send(batch)

    def _send(self, batch: Batch) -> None:
        receivers = tuple(self._subscribers[batch.number])
        if receivers:
            self._jobs.append(_Job(batch, server_frame(batch.payload), iter(receivers)))
            if not self._pumping:
                self._pumping = True
                self._pump()

    def _pump(self) -> None:
        if self._jobs:
            self._turn(_AT_ONCE)
        if self._jobs:
            self._loop.call_soon(self._pump)
        else:
            self._pumping = False

    def _turn(self, most: int) -> None:
        """Write the oldest job's frame to so many of its connections."""
        job = self._jobs[0]
        for connection in job.left:
            if job.batch.number in connection.channels:
                self._deliver(connection, job.frame, job.batch, critical=False)
            most -= 1
            if not most:
                return
        self._jobs.popleft()

    def _deliver(
        self, connection: HubConnection, frame: bytes, batch: Batch, *, critical: bool
    ) -> None:
        self._counters.deliveries += batch.messages
        self._counters.frames += 1
        self._write(connection, frame, batch, critical=critical)

    def _write(
        self, connection: HubConnection, frame: bytes, batch: Batch, *, critical: bool
    ) -> None:
        if not connection.deliver(frame, batch, critical=critical):
            self._slow(connection)
        elif connection.outbox is not None:
            self._waiting[connection] = None
            if self._looking is None:
                self._looking = self._loop.call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        """Send what the sockets take by now; give up on those that take nothing for too long."""
        self._looking = None
        now = self._loop.time()
        for connection in tuple(self._waiting):
            outbox = connection.outbox
            if connection.drain_outbox():
                del self._waiting[connection]
                if outbox is not None:
                    self._counters.dropped += outbox.dropped
            elif now - connection.taken_at > self._settings.stall_s:
                self._slow(connection)
        if self._waiting:
            self._looking = self._loop.call_later(_LOOK_S, self._look)
