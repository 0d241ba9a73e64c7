"""Hubs in the test's own event loop, and clients that a test speaks the protocol with itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from event_loop import PATIENCE_S, own_prefix
from perflab.realtime import ChannelLog
from perflab.realtime.access import own_or_shared
from perflab.realtime.client import ClientSettings, RealtimeClient
from perflab.realtime.frames import Delivery, entries
from perflab.realtime.hub import Authenticate, Hub, HubSettings
from perflab.realtime.protocol import Control, Welcome, decode_control

FAST = ClientSettings(
    connect_timeout_s=PATIENCE_S, reply_timeout_s=PATIENCE_S, backoff_base_s=0.02, attempts=40
)


async def anybody(token: str | None) -> str | None:
    """The token is the user's name; without one the user is ``guest``."""
    return token or "guest"


class Scene:
    """A Redis and keys that no other test uses; its logs and hubs serve the same channels."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = own_prefix()

    def log(self, **options: Any) -> ChannelLog:
        """A log with a budget that a busy machine does not exhaust."""
        return ChannelLog(self.url, prefix=self.prefix, budget_s=20.0, **options)

    def hub(
        self,
        port: int = 0,
        *,
        authenticate: Authenticate = anybody,
        access: Any = own_or_shared,
        history_size: int = 1_000,
        **settings: Any,
    ) -> Hub:
        """A hub whose clients may be as slow as a busy machine makes them."""
        given: dict[str, Any] = {"heartbeat_s": 30.0, "timeout_s": 30.0}
        return Hub(
            self.url,
            authenticate,
            HubSettings(**(given | settings)),
            prefix=self.prefix,
            access=access,
            port=port,
            budget_s=PATIENCE_S,
            history_size=history_size,
        )


def open_client(
    *urls: str, token: str | None = None, settings: ClientSettings = FAST, **options: Any
) -> RealtimeClient:
    return RealtimeClient(urls, token, settings=settings, seed=1, **options)


class Peer:
    """A client without any behaviour of its own."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._entries: list[Delivery | Control] = []

    async def say(self, **request: Any) -> None:
        await self.socket.send(msgspec.json.encode(request).decode())

    async def hear(self) -> Delivery | Control:
        """The next thing that the hub says."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._entries:
                frame = await self.socket.recv(decode=False)
                self._entries += [
                    one if isinstance(one, Delivery) else decode_control(one)
                    for one in entries(frame)
                ]
        return self._entries.pop(0)

    async def ask(self, **request: Any) -> Delivery | Control:
        await self.say(**request)
        return await self.hear()


@asynccontextmanager
async def peer(url: str, **options: Any) -> AsyncIterator[Peer]:
    async with connect(url, compression=None, proxy=None, max_size=None, **options) as socket:
        opened = Peer(socket)
        assert isinstance(await opened.hear(), Welcome)
        yield opened
