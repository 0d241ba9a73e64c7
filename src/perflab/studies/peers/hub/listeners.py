"""Subscribers of one hot channel as a program: they count, and a few keep times.

Its first line of input is a ``ListenOrder``; it answers with how many listen. Each further line is
answered with a ``Heard``: what came since the last ``begin``. It ends when its input does.

The listeners read frames by themselves, the same way for both sides, with as little work as Python
can do it with: a client library would need more of the core that they share with the publisher
than there is. They answer no pings, so there must be none.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import struct
import sys
import time
from collections.abc import Iterator
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec
import numpy as np
import uvloop
from websockets.frames import Frame, Opcode

from perflab.realtime.frames import CONTROL, HEAD, LENGTH_BYTES, MESSAGE
from perflab.realtime.protocol import (
    SUBPROTOCOL,
    Subscribe,
    Subscribed,
    decode_control,
    encode_request,
)
from perflab.realtime.sockets import need_files

BEGIN: Final = b"begin"
_WITHIN_S: Final = 20.0
"""For all of them to listen."""
_AT_ONCE: Final = 50
_TIMED: Final = 50
"""Every so manieth listener keeps ids and times."""
_SHORT: Final = struct.Struct("!xBH")
_LONG: Final = struct.Struct("!xBQ")


class ListenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Who listens, and to what."""

    url: str
    listeners: int
    token: str = ""
    channel: str = ""
    """To subscribe to, in perflab's protocol; empty where every frame is a message."""


class Heard(msgspec.Struct, frozen=True):
    """What came."""

    counts: list[int]
    """Messages of each listener."""
    twice: int
    """Messages that came again, of the listeners that keep ids."""
    p99_ms: float
    """From when a message was due until the application had it."""


class Listener(asyncio.Protocol):
    """One WebSocket whose messages are handed to ``application`` one by one."""

    def __init__(self, order: ListenOrder, *, timed: bool) -> None:
        self._order = order
        self._host = urlsplit(order.url).netloc
        self._buffer = b""
        self._shaken = False
        self._transport: asyncio.Transport | None = None
        self.listens: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = False
        self.application = self._keep if timed else self._count
        self.begin()

    def begin(self) -> None:
        """Count anew."""
        self.count = 0
        self.ids: list[int] = []
        self.took_s: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake (RFC 6455 §4.1)."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET / HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {self._order.token}\r\n"
            f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Lost before its time."""
        self.lost = True
        if not self.listens.done():
            self.listens.set_exception(ConnectionError("a hub closed a connection"))

    def data_received(self, data: bytes) -> None:
        """Take the frames that are whole."""
        data = self._buffer + data if self._buffer else data
        at = 0
        if not self._shaken:
            at = data.find(b"\r\n\r\n") + 4
            if at < 4:
                self._buffer = data
                return
            self._welcome(data[:at])
        for begin, end in frames_of(data, at):
            self._frame(data[begin:end])
            at = end
        self._buffer = data[at:]

    def _welcome(self, head: bytes) -> None:
        self._shaken = True
        if not head.startswith(b"HTTP/1.1 101 "):
            self.listens.set_exception(ConnectionError(head.split(b"\r\n")[0].decode()))
        elif not self._order.channel:
            self.listens.set_result(None)
        elif self._transport is not None:
            request = encode_request(Subscribe(1, self._order.channel))
            self._transport.write(Frame(Opcode.TEXT, request).serialize(mask=True))

    def _frame(self, payload: bytes) -> None:
        if not self._order.channel:
            self.application(payload)
            return
        at, end = 0, len(payload)
        while at < end:
            length, kind = HEAD.unpack_from(payload, at)
            after = at + LENGTH_BYTES + length
            if kind != CONTROL:
                self.application(payload[at + MESSAGE.size : after])
            elif isinstance(decode_control(payload[at + HEAD.size : after]), Subscribed):
                self.listens.set_result(None)
            at = after

    def _count(self, _data: bytes) -> None:
        self.count += 1

    def _keep(self, data: bytes) -> None:
        self.count += 1
        number, due, _ = data[1:].split(b",", 2)
        self.ids.append(int(number))
        self.took_s.append(time.monotonic() - float(due))


def frames_of(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Where the payloads of whole, unmasked frames begin and end (RFC 6455 §5.2)."""
    end = len(data)
    while end - at >= 2:
        length = data[at + 1]
        begin = at + 2
        if length == 126 and end - at >= 4:
            begin, length = at + 4, _SHORT.unpack_from(data, at)[1]
        elif length == 127 and end - at >= 10:
            begin, length = at + 10, _LONG.unpack_from(data, at)[1]
        elif length > 125:
            return
        at = begin + length
        if at > end:
            return
        yield begin, at


async def _listen(order: ListenOrder) -> list[Listener]:
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(_AT_ONCE)
    address = urlsplit(order.url)
    host, port = str(address.hostname), int(address.port or 0)

    async def one(number: int) -> Listener:
        async with gate:
            _, listener = await loop.create_connection(
                lambda: Listener(order, timed=number % _TIMED == _TIMED - 1), host, port
            )
            await listener.listens
            return listener

    async with asyncio.timeout(_WITHIN_S):
        return list(await asyncio.gather(*map(one, range(order.listeners))))


def _heard(listeners: list[Listener]) -> Heard:
    took_ms = 1e3 * np.concatenate([np.array(one.took_s) for one in listeners])
    return Heard(
        [one.count for one in listeners],
        sum(len(one.ids) - len(set(one.ids)) for one in listeners),
        float(np.quantile(took_ms, 0.99)) if len(took_ms) else 0.0,
    )


async def _main() -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    order = msgspec.json.decode(await lines.readline(), type=ListenOrder)
    need_files(order.listeners)
    listeners = await _listen(order)
    gc.freeze()
    print(len(listeners), flush=True)
    while line := await lines.readline():
        if line.strip() == BEGIN:
            for one in listeners:
                one.begin()
        if lost := sum(one.lost for one in listeners):
            sys.exit(f"a hub closed {lost} of {len(listeners)} connections")
        print(msgspec.json.encode(_heard(listeners)).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
