"""What the faults of real time share: a witness who must be served throughout, raw sockets."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from event_loop import PATIENCE_S, own_prefix, until
from perflab.realtime import ChannelLog
from perflab.realtime.client import ClientSettings, RealtimeClient
from perflab.realtime.hub import Hub, HubSettings
from perflab.services import Redis

STUBBORN = ClientSettings(
    connect_timeout_s=5.0, reply_timeout_s=PATIENCE_S, backoff_base_s=0.05, attempts=200
)


async def anybody(token: str | None) -> str | None:
    return token or "guest"


class Stage:
    """A hub, a log to publish with, and a witness: a client who must miss nothing."""

    def __init__(self, hub: Hub, log: ChannelLog, witness: RealtimeClient) -> None:
        self.hub = hub
        self.log = log
        self.witness = witness
        self.seen: list[bytes] = []

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.hub.url)
        return str(parts.hostname), int(parts.port or 0)

    async def is_alive(self) -> None:
        """Both lanes still reach the witness, who was never disconnected."""
        before = len(self.seen)
        await self.log.publish("witness", b'"normal"')
        await self.log.publish("witness", b'"critical"', "critical")
        await until(lambda: len(self.seen) == before + 2)
        assert not self.witness.outages

    async def raw(self, *, answered: bool = True, receive_bytes: int = 0) -> Raw:
        """A socket with a finished handshake, and no library behind it."""
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.setblocking(False)
        await loop.sock_connect(sock, self.address)
        raw = Raw(*await asyncio.open_connection(sock=sock, limit=1024))
        raw.writer.write(handshake())
        status = await raw.reader.readuntil(b"\r\n\r\n")
        if answered:
            assert status.startswith(b"HTTP/1.1 101"), status
        return raw


class Raw:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ended(self) -> None:
        """Return when the hub has closed it."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass
        await self.close()

    async def close(self) -> None:
        self.writer.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def stage(redis: Redis, **settings: Any) -> AsyncIterator[Stage]:
    prefix = own_prefix()
    given: dict[str, Any] = {"heartbeat_s": 30.0, "timeout_s": 30.0}
    async with (
        ChannelLog(redis.url(), prefix=prefix, budget_s=PATIENCE_S) as log,
        Hub(redis.url(), anybody, HubSettings(**(given | settings)), prefix=prefix) as hub,
        RealtimeClient([hub.url], "witness", settings=STUBBORN, seed=1) as witness,
    ):
        opened = Stage(hub, log, witness)
        await witness.subscribe("witness", lambda message: opened.seen.append(message.data))
        yield opened


def handshake(**fields: str) -> bytes:
    given = {
        "Host": "hub",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in (given | fields).items())
    return f"GET / HTTP/1.1\r\n{lines}\r\n".encode()


def frame(payload: bytes, *, first: int = 0x81, masked: bool = True) -> bytes:
    """A client's frame; ``first`` is FIN, the reserved bits and the opcode."""
    mask = os.urandom(4) if masked else b""
    bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if masked:
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + mask + payload
