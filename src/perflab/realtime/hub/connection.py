"""One WebSocket of a hub: writes frames that are encoded already, and waits for nobody."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, cast

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Event

from perflab.ratelimit.algorithms import Meter
from perflab.realtime.batching import Batch
from perflab.realtime.frames import PING, server_frame
from perflab.realtime.hub.lobby import Lobby
from perflab.realtime.outbox import DEFAULT_LIMIT, Outbox

HIGH_BYTES: Final = 64 * 1024
"""What the transport may hold before messages wait in the outbox, where they can be dropped."""
_SEND_BUFFER_BYTES: Final = 128 * 1024
"""Of the kernel for each socket. By itself it grows to megabytes, which a slow client would fill
before the hub noticed anything."""
_MOST_UNREAD_BYTES: Final = 4 * HIGH_BYTES
"""Answers to pings pile up in the transport of a client that sends them and reads nothing."""
_PINGS_A_HEARTBEAT: Final = 100

Ended = Callable[["HubConnection"], None]


class HubConnection(ServerConnection):
    """A connection that a hub writes to without awaiting it.

    What its socket does not take waits in an ``Outbox`` of its own; the hub looks at those that
    wait again and again (``drain_outbox``).
    """

    def __init__(self, *args: Any, lobby: Lobby[HubConnection], **options: Any) -> None:
        super().__init__(*args, **options)
        self._lobby = lobby
        self._let_in = False
        self._ended: Ended | None = None
        self._queue_limit = DEFAULT_LIMIT
        self._pings = 0
        self.user = ""
        self.meter: Meter | None = None
        """What it requested of late."""
        self.seen_at = 0.0
        """When the last byte came, by the event loop's clock."""
        self.channels: set[int] = set()
        """The numbers of the channels subscribed to."""
        self.outbox: Outbox | None = None
        """What waits, while anything does."""
        self.taken_at = 0.0
        """When the socket last took something while something waited."""
        self.faults = self.refusals = 0

    def admit(self, user: str, meter: Meter, *, queue_limit: int, ended: Ended) -> None:
        """It is one of the hub's from now until ``ended`` is called."""
        self.user = user
        self.meter = meter
        self._queue_limit = queue_limit
        self._ended = ended

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self.protocol.state is OPEN

    @property
    def unsent_bytes(self) -> int:
        """What the transport holds."""
        return self.transport.get_write_buffer_size()

    def deliver(self, frame: bytes, batch: Batch, *, critical: bool) -> bool:
        """Send a batch as its frame, or let it wait; False if it can do neither."""
        if self.protocol.state is not OPEN:
            return True
        if self.outbox is None:
            if self.transport.get_write_buffer_size() <= HIGH_BYTES:
                self.transport.write(frame)
                return True
            self.outbox = Outbox(self._queue_limit)
            self.taken_at = self.loop.time()
        return self.outbox.push(batch, critical=critical)

    def drain_outbox(self) -> bool:
        """Send what the socket takes now; whether nothing waits any more."""
        while self.outbox is not None and self.is_open:
            if self.transport.get_write_buffer_size() > HIGH_BYTES:
                return False
            self.transport.write(server_frame(self.outbox.take()))
            self.taken_at = self.loop.time()
            if not self.outbox:
                self.outbox = None
        return True

    def ask(self) -> None:
        """Send a ping."""
        self._pings = 0
        if self.is_open:
            self.transport.write(PING)

    def cut_off(self) -> None:
        """End it without a word."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket was accepted; it is closed at once where too many others are in handshakes."""
        self._let_in = self._lobby.enter(self)
        if not self._let_in:
            cast("asyncio.Transport", transport).abort()
            return
        super().connection_made(transport)
        self.seen_at = self.loop.time()
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.seen_at = self.loop.time()
        super().data_received(data)
        if self.transport.get_write_buffer_size() > _MOST_UNREAD_BYTES:
            self.cut_off()

    def process_event(self, event: Event) -> None:
        """A frame came."""
        if isinstance(event, Frame) and event.opcode is Opcode.PING:
            self._pings += 1
            if self._pings > _PINGS_A_HEARTBEAT:
                self.cut_off()
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if not self._let_in:
            return
        self._lobby.leave(self)
        super().connection_lost(exc)
        if self._ended is not None:
            self._ended(self)
