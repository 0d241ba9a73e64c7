"""Invalidations on their way between processes, through Redis publish and subscribe."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from perflab.cache.entry import Invalidation
from perflab.redis_link import FAILURES

NAMES_A_MESSAGE: Final = 1_000
Callback = Callable[[Invalidation], object]


class _Wire(msgspec.Struct, array_like=True):
    keys: tuple[str, ...]
    tags: tuple[str, ...]
    everything: bool


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Wire).decode


def messages(keys: Sequence[str], tags: Sequence[str], everything: bool) -> list[bytes]:
    """The invalidation in messages of a bounded size, at least one."""
    parts = range(0, max(len(keys), len(tags), 1), NAMES_A_MESSAGE)
    return [
        _encode(
            _Wire(
                tuple(keys[start : start + NAMES_A_MESSAGE]),
                tuple(tags[start : start + NAMES_A_MESSAGE]),
                everything,
            )
        )
        for start in parts
    ]


def read(message: bytes) -> Invalidation:
    """What a message says; everything, where it cannot be understood."""
    try:
        wire = _decode(message)
    except msgspec.MsgspecError:
        return Invalidation(everything=True)
    return Invalidation(wire.keys, wire.tags, wire.everything)


class Listener:
    """Calls back for each invalidation, its own process's too.

    Messages are lost while the channel is down, so it says "everything" when the channel breaks
    and again when it is back. A connection that says nothing for a while is asked; without an
    answer it counts as broken, as with a server that hangs.

    Args:
        subscription: makes a redis-py pubsub object.
        channel: its name.
        callback: must not block; what it raises ends listening for this message only and is
            given to the event loop's exception handler.
        silence_s: how long the connection may say nothing before it is asked, and again until
            it counts as broken.
        retry_s: between attempts to connect.
    """

    def __init__(
        self,
        subscription: Callable[[], Any],
        channel: str,
        callback: Callback,
        *,
        silence_s: float,
        retry_s: float,
    ) -> None:
        self._subscription = subscription
        self._channel = channel
        self._callback = callback
        self._silence_s = silence_s
        self._retry_s = retry_s
        self.connected = False
        self.losses = 0
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def close(self) -> None:
        """Stop listening."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(*FAILURES):
                await self._listen_once()
            await asyncio.sleep(self._retry_s)

    async def _listen_once(self) -> None:
        pubsub = self._subscription()
        try:
            async with asyncio.timeout(2 * self._silence_s):
                await pubsub.subscribe(self._channel)
            asked = False
            while True:
                message = await pubsub.get_message(timeout=self._silence_s)
                if message is not None:
                    asked = False
                    self._take(message)
                elif asked:
                    return
                else:
                    asked = True
                    async with asyncio.timeout(self._silence_s):
                        await pubsub.ping()
        finally:
            if self.connected:
                self.connected = False
                self.losses += 1
                self._tell(Invalidation(everything=True))
            with contextlib.suppress(*FAILURES):
                await pubsub.aclose()

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            # also after the client connected again by itself
            self.connected = True
            self._tell(Invalidation(everything=True))
        elif message["type"] == "message":
            self._tell(read(message["data"]))

    def _tell(self, invalidation: Invalidation) -> None:
        try:
            self._callback(invalidation)
        except Exception as error:  # noqa: BLE001 - whatever a callback does, listening goes on
            asyncio.get_running_loop().call_exception_handler(
                {"message": "the callback for cache invalidations failed", "exception": error}
            )
