"""A bounded pool of connections, and the queue of requests that wait for one of them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from perflab.load.connection import Connection, Field
from perflab.load.outcomes import ANSWERED, CONNECT, RESET, TIMEOUT
from perflab.load.plan import Wire
from perflab.load.recorder import Recorder

_SWEEP_S: Final = 0.02
"""How often timeouts are looked for: one timer for all of them instead of one a request."""
AHEAD_AT_ONCE: Final = 256
"""Connections that are opened at the same time: more than a server's backlog holds would be dropped
by its kernel, and only tried again after a second."""


class Pool:
    """Sends what it is given as soon as a connection is free.

    Args:
        wires: the requests in the order of rows, from the front again after the last.
        recorder: where rows are written to.
        connections: at most so many are open or being opened.
        waiting: at most so many requests wait for a connection; more are dropped.
        timeout_s: from sending to the complete answer, and as long again for waiting.
        field: the header field to keep.
    """

    def __init__(
        self,
        wires: Sequence[Wire],
        recorder: Recorder,
        *,
        connections: int,
        waiting: int,
        timeout_s: float,
        field: Field | None,
    ) -> None:
        self._wires = wires
        self._recorder = recorder
        self._connections = connections
        self._most_waiting = waiting
        self._timeout_s = timeout_s
        self._field = field
        self._loop = asyncio.get_running_loop()
        self._address: tuple[str, int] = ("", 0)
        self._tls: dict[str, Any] = {}
        # in turn, so that every process of the server that holds some of them gets its share
        self._free: deque[Connection] = deque()
        self._all: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[int] = deque()
        self._drained: asyncio.Future[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self.events = 0
        """Grows with whatever happens: whoever spins sees whether a turn of the loop had work."""
        self.opened = 0
        """Connections opened, those in advance included."""
        self.resent = 0
        """Requests sent once more, since the server closed an idle connection meanwhile."""
        self.unfinished = 0
        """Requests taken up whose outcome is open."""
        self.on_outcome: Callable[[int, float], None] | None = None
        """Is told the row and the time of each outcome, after the connection is free again."""

    async def open(self, host: str, port: int, *, tls: bool = False, ahead: int) -> None:
        """Resolve the address and open ``ahead`` connections; that some fail does not matter.

        An ``OSError`` if the host has no address, or a certificate that is not trusted.
        """
        if tls:
            self._tls = {"ssl": _context(), "server_hostname": host.partition("%")[0]}
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [(str(address[0]), port) for *_, address in found]
        # a name such as localhost may have several addresses and a server on one of them only
        for self._address in addresses:
            await self._connect_ahead()
            if self._all:
                break
        else:
            self._address = addresses[0]
            ahead = 0
        for first in range(len(self._all), ahead, AHEAD_AT_ONCE):
            several = range(first, min(ahead, first + AHEAD_AT_ONCE))
            await asyncio.gather(*(self._connect_ahead() for _ in several))
        self._sweep()

    async def _connect_ahead(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connect()
        except ssl.SSLCertVerificationError:
            raise  # no later one will fare better
        except (OSError, TimeoutError):
            return
        if connection.reusable:
            self._all.add(connection)
            self._free.append(connection)

    async def _connect(self) -> Connection:
        recorder = self._recorder
        _, connection = await self._loop.create_connection(
            lambda: Connection(self, field=self._field, keep_body=recorder.bodies is not None),
            *self._address,
            **self._tls,
        )
        self.opened += 1
        return connection

    def take(self, scheduled: float, now: float) -> None:
        """Send a request that was due at ``scheduled``; or let it wait; or drop it."""
        self.events += 1
        row = self._recorder.take(scheduled, now)
        if self._free:
            self.unfinished += 1
            self._send(self._free.popleft(), row, now)
        elif len(self._all) + len(self._connecting) < self._connections:
            self.unfinished += 1
            self._send_on_new(row, now)
        elif len(self._waiting) < self._most_waiting:
            self.unfinished += 1
            self._waiting.append(row)
        else:
            self._drop(row, now)

    def _send(self, connection: Connection, row: int, now: float) -> None:
        self._recorder.started[row] = connection.started_at = now
        wire = self._wires[row % len(self._wires)]
        connection.send(row, wire.data, head_only=wire.head_only)

    def _send_on_new(self, row: int, now: float) -> None:
        """Opening the connection is part of the request's service time, as for any user."""
        self._recorder.started[row] = now
        task = self._loop.create_task(self._open_for(row, now))
        self._connecting.add(task)
        task.add_done_callback(self._opened)

    async def _open_for(self, row: int, now: float) -> None:
        outcome = CONNECT
        try:
            async with asyncio.timeout(now + self._timeout_s - time.perf_counter()):
                connection = await self._connect()
        except TimeoutError:
            outcome = TIMEOUT
        except OSError:
            pass
        else:
            if connection.reusable:
                self._all.add(connection)
                connection.fresh = True
                self._send(connection, row, now)
                return
            outcome = RESET
        self._settle(row, time.perf_counter(), outcome)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        if not task.cancelled():
            task.result()
        self._next()

    # what connections report

    def ended(self, connection: Connection, sample: int, outcome: int) -> None:
        """Write the row, then use the connection for the next one."""
        if connection.reusable:
            connection.fresh = False
            self._free.append(connection)
        else:
            self._all.discard(connection)
            if outcome == RESET and self._crossed(connection, sample):
                self.resent += 1
                self._send_on_new(sample, connection.started_at)
                return
        if outcome == ANSWERED:
            recorder = self._recorder
            recorder.status[sample] = connection.status
            recorder.body_bytes[sample] = connection.body_bytes
            if recorder.fields is not None:
                recorder.fields[sample] = connection.field_value
            if recorder.bodies is not None:
                recorder.bodies[sample] = b"".join(connection.body)
        self._settle(sample, connection.ended_at, outcome)
        self._next()

    def _crossed(self, connection: Connection, row: int) -> bool:
        """Whether the server closed the connection as idle while the request was on its way.

        Then clients send it once more on a new connection (RFC 9112, section 9.3.1). The clock
        runs on, so the detour is part of the latency.
        """
        return (
            connection.silent
            and not connection.fresh
            and self._wires[row % len(self._wires)].idempotent
        )

    def lost(self, connection: Connection) -> None:
        """A free connection has closed."""
        self.events += 1
        if connection in self._all:  # else it is still on its way to whoever asked for it
            self._all.remove(connection)
            self._free.remove(connection)

    def _settle(self, row: int, ended: float, outcome: int) -> None:
        self.events += 1
        self._recorder.ended[row] = ended
        self._recorder.outcome[row] = outcome
        self.unfinished -= 1
        if self.on_outcome is not None:
            self.on_outcome(row, ended)
        self._notice_end()

    def _drop(self, row: int, now: float) -> None:
        """The request is never sent."""
        self.events += 1
        self._recorder.drop(row)
        if self.on_outcome is not None:
            self.on_outcome(row, now)

    def _notice_end(self) -> None:
        if self._drained is not None and not self.unfinished and not self._drained.done():
            self._drained.set_result(None)

    def _next(self) -> None:
        """Give connections, open or to be opened, to whoever waits."""
        while self._waiting:
            if self._free:
                self._send(self._free.popleft(), self._waiting.popleft(), time.perf_counter())
            elif len(self._all) + len(self._connecting) < self._connections:
                self._send_on_new(self._waiting.popleft(), time.perf_counter())
            else:
                return

    # ends

    def _sweep(self) -> None:
        now = time.perf_counter()
        limit = now - self._timeout_s
        recorder = self._recorder
        while self._waiting and recorder.taken[self._waiting[0]] < limit:
            self.unfinished -= 1
            self._drop(self._waiting.popleft(), now)
        late = [one for one in self._all if one.sample >= 0 and one.started_at < limit]
        for connection in late:
            row = connection.sample
            connection.drop()
            self._all.discard(connection)
            self._settle(row, now, TIMEOUT)
        if late:
            self._next()
        self._notice_end()
        self._sweeper = self._loop.call_later(min(_SWEEP_S, self._timeout_s / 4), self._sweep)

    async def drain(self) -> None:
        """Wait until every request has its outcome; at most for about twice the timeout."""
        if self.unfinished:
            self._drained = self._loop.create_future()
            await self._drained

    async def close(self) -> None:
        """Close every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        tasks = list(self._connecting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self._all):
            connection.drop()
        self._all.clear()
        self._free.clear()
        await asyncio.sleep(0)  # aborted transports close in the loop's next turn


def _context() -> ssl.SSLContext:
    """The system's authorities, or those in ``SSL_CERT_FILE``."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
