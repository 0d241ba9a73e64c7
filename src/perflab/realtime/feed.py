"""Listening to channels through Redis publish and subscribe, by one connection for a process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from perflab.realtime.continuity import Heard
from perflab.realtime.errors import ChannelsUnavailable, RealtimeError
from perflab.realtime.messages import Lane, Message
from perflab.redis_link import FAILURES, open_client

_SILENCE_S: Final = 5.0
"""After which the connection is asked whether it lives; as long again, and it does not."""
_RETRY_S: Final = 0.1
_LANES: Final[dict[bytes, Lane]] = {b"critical": "critical", b"normal": "normal"}


class Feed:
    """Tells what is published in the channels subscribed to, and when something may be missing.

    Args:
        url: of Redis, or of any node of a cluster, all of which pass publications on.
        topic: the topic of a channel, as the log names it.
        heard: called with each message; must not block.
        lost: called when the connection is gone, and again once all channels are listened to
            again; in between, and only then, messages are missed.
        timeout_s: for connecting and for subscribing.

    Raises:
        RealtimeError: the URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        topic: Callable[[str], str],
        heard: Callable[[Heard], object],
        lost: Callable[[], object],
        timeout_s: float = 1.0,
    ) -> None:
        self._client: Any = open_client(url, timeout_s=timeout_s, error=RealtimeError)
        self._topic = topic
        self._heard = heard
        self._lost = lost
        self._timeout_s = timeout_s
        self._connection: Any = None
        self._channels: dict[bytes, str] = {}
        self._confirmed: set[bytes] = set()
        self._waiting: dict[bytes, list[asyncio.Future[None]]] = {}
        self.losses = 0
        """How often the connection was lost."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, now and whenever the connection is lost."""
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def close(self) -> None:
        """Listen no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._client.aclose()

    async def subscribe(self, channel: str) -> None:
        """Return when everything published from now on will be heard.

        Raises:
            ChannelsUnavailable: Redis does not answer; the channel is subscribed when it does.
        """
        topic = self._topic(channel).encode()
        self._channels[topic] = channel
        if topic in self._confirmed:
            return
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(topic, []).append(confirmed)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._send("SUBSCRIBE", topic)
                await confirmed
        except FAILURES:
            raise ChannelsUnavailable(
                "Redis does not confirm that a channel is listened to; try again"
            ) from None

    async def unsubscribe(self, channel: str) -> None:
        """Hear no more of a channel."""
        topic = self._topic(channel).encode()
        self._channels.pop(topic, None)
        self._confirmed.discard(topic)
        with contextlib.suppress(*FAILURES):
            await self._send("UNSUBSCRIBE", topic)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(*FAILURES):
                await self._listen_once()
            await asyncio.sleep(_RETRY_S)

    async def _listen_once(self) -> None:
        connection = self._client.connection_pool.make_connection()
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.connect()
                self._connection = connection
                awaited = set(self._channels)
                if awaited:
                    await self._send("SUBSCRIBE", *awaited)
            await self._read(connection, awaited)
        finally:
            # nobody may use it from here on: it would connect again by itself
            self._connection = None
            if self._confirmed:
                self.losses += 1
                self._confirmed.clear()
                self._lost()
            with contextlib.suppress(*FAILURES):
                await connection.disconnect(nowait=True)

    async def _read(self, connection: Any, awaited: set[bytes]) -> None:
        asked = False
        while True:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    told = await connection.read_response(disconnect_on_error=False)
            except TimeoutError:
                if asked:
                    raise
                asked = True
                await self._send("PING")
                continue
            asked = False
            if told[0] == b"message":
                self._take(told[1], told[2])
            elif told[0] == b"subscribe":
                self._confirm(told[1])
                if awaited:
                    awaited.discard(told[1])
                    if not awaited:
                        self._lost()

    async def _send(self, *command: str | bytes) -> None:
        if self._connection is not None:
            await self._connection.send_command(*command)

    def _take(self, topic: bytes, told: bytes) -> None:
        channel = self._channels.get(topic)
        if channel is not None:
            lane, offset, epoch, data = told.split(b":", 3)
            message = Message(channel, _LANES[lane], int(offset), data)
            self._heard(Heard(epoch.decode(), message))

    def _confirm(self, topic: bytes) -> None:
        if topic in self._channels:
            self._confirmed.add(topic)
        for waiting in self._waiting.pop(topic, ()):
            if not waiting.done():
                waiting.set_result(None)
