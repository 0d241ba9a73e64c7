"""One channel as its reader sees it, whatever happens to the connection beneath."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from perflab.errors import PerflabError
from perflab.realtime.client.callbacks import call_back, check_callback
from perflab.realtime.cursor import Cursor
from perflab.realtime.messages import Lane, Message, Position

A = TypeVar("A")
OnMessage: TypeAlias = Callable[[Message], object]
OnGap: TypeAlias = Callable[[Position], object]
"""Called where something was lost for good; what follows comes after the position."""


class Subscription:
    """The messages of a channel, each once and in order within its lane.

    Read it with ``async for``, or give callbacks, which are called from the event loop and must
    not block. What they raise is logged and counted, and the messages go on. Made by
    ``RealtimeClient.subscribe``.
    """

    def __init__(
        self,
        channel: str,
        *,
        on_message: OnMessage | None,
        on_gap: OnGap | None,
        queue: int,
        after: Position | None,
    ) -> None:
        check_callback("on_message", on_message, "read the subscription with: async for")
        check_callback("on_gap", on_gap, "set an asyncio.Event in it")
        self.channel = channel
        self.cursor = Cursor()
        if after is not None:
            self.cursor.starts(after)
        self.gaps = 0
        """How often something was lost for good."""
        self.dropped = 0
        """Messages that the hub left out because this client was too slow."""
        self.failed = 0
        """Calls of a callback that raised."""
        self._on_message = on_message
        self._on_gap = on_gap
        self._most = queue
        self._queue: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._started = asyncio.Event()
        self._over: PerflabError | None = None
        self._ended = False

    @property
    def has_room(self) -> bool:
        """Whether the reader keeps up."""
        return self._room.is_set()

    async def until_room(self) -> None:
        """Wait for the reader."""
        await self._room.wait()

    async def until_started(self) -> None:
        """Wait until the channel is served; the error if it never will be."""
        await self._started.wait()
        if self._over is not None:
            raise self._over

    def take(self, lane: Lane, offset: int, data: bytes) -> None:
        """A message came; it is handed out unless it was before, or nobody wants it any more."""
        if self._ended or not self.cursor.accepts(lane, offset):
            return
        message = Message(self.channel, lane, offset, data)
        if self._on_message is not None:
            self._call("on_message", self._on_message, message)
            return
        self._queue.append(message)
        self._arrived.set()
        if len(self._queue) >= self._most:
            self._room.clear()

    def starts(self, position: Position, *, recovered: bool) -> None:
        """The channel goes on after a position."""
        again = self.cursor.position is not None
        self.cursor.starts(position)
        self._started.set()
        if again and not recovered:
            self.gaps += 1
            if self._on_gap is not None:
                self._call("on_gap", self._on_gap, position)

    def end(self, error: PerflabError | None = None) -> None:
        """Nothing more comes."""
        self._over = error
        self._ended = True
        self._arrived.set()
        self._room.set()
        self._started.set()

    def _call(self, name: str, callback: Callable[[A], object], told: A) -> None:
        self.failed += not call_back(f"{name} of channel {self.channel!r}", callback, told)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Message:
        """The next message; ends when the subscription or the client is closed.

        Raises:
            RealtimeError: the client failed.
        """
        while not self._queue:
            if self._ended:
                raise self._over or StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        self._room.set()
        return self._queue.popleft()
