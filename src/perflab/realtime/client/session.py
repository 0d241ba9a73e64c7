"""What a client does on one connection, from the handshake until it is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec
from websockets.exceptions import ConnectionClosed

from perflab.realtime.client.outgoing import Outgoing, Reply
from perflab.realtime.client.socket import FAILURES, ClientSocket
from perflab.realtime.client.subscription import Subscription
from perflab.realtime.errors import RealtimeError
from perflab.realtime.frames import Delivery, FrameError, entries
from perflab.realtime.messages import position_of
from perflab.realtime.protocol import (
    Accepted,
    Draining,
    Dropped,
    Gap,
    Refused,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Welcome,
    decode_control,
    encode_request,
)

_WELCOME_S: Final = 5.0
"""How long a hub may take to say its first word."""


class Session:
    """Subscribes all channels, hands out what comes, and sends what waits.

    Args:
        socket: connected.
        subscriptions: by channel; those that come later are given to ``subscribe``.
        outgoing: what waits to be sent.
        ids: of requests.
        welcomed: called with the hub's load.
        served: called when all subscriptions were answered.
    """

    def __init__(
        self,
        socket: ClientSocket,
        subscriptions: Mapping[str, Subscription],
        outgoing: Outgoing,
        ids: Iterator[int],
        *,
        welcomed: Callable[[float], object],
        served: Callable[[], object],
    ) -> None:
        self._socket = socket
        self._subscriptions = subscriptions
        self._outgoing = outgoing
        self._ids = ids
        self._welcomed = welcomed
        self._served = served
        self._numbers: dict[int, Subscription] = {}
        self._unanswered: set[str] = set()
        self._silence_s = _WELCOME_S
        self._greeted = asyncio.Event()
        self.draining_s: float | None = None
        """Set when the hub asked its clients to leave within this time."""

    async def run(self) -> str:
        """Serve until the connection is lost; returns why."""
        for channel in self._subscriptions:
            self.subscribe(channel)
        if not self._unanswered:
            self._served()
        # the watch first: what it cuts off looks like any lost connection to the others
        tasks = [asyncio.create_task(work) for work in (self._watch(), self._read(), self._send())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            reasons = [task.result() for task in tasks if task.done()]
            return reasons[0]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._outgoing.lost()
            if self._numbers and self.draining_s is None:
                self._socket.transport.abort()
            with contextlib.suppress(*FAILURES):
                await self._socket.close()

    def cut_off(self) -> None:
        """End the connection without a word."""
        self._socket.transport.abort()

    def subscribe(self, channel: str) -> None:
        """Ask for a channel, from where its reader stands."""
        position = self._subscriptions[channel].cursor.position
        after = None if position is None else position.text()
        self._unanswered.add(channel)
        reply = self._outgoing.put(Subscribe(next(self._ids), channel, after), "critical")
        reply.add_done_callback(lambda done: self._answered(channel, done))

    def unsubscribe(self, channel: str) -> asyncio.Future[Reply]:
        """Leave a channel; the reply need not be waited for."""
        # in the lane of ``subscribe``, so that what was asked last comes last
        left = self._outgoing.put(Unsubscribe(next(self._ids), channel), "critical")
        left.add_done_callback(lambda reply: reply.cancelled() or reply.exception())
        return left

    def _answered(self, channel: str, reply: asyncio.Future[Reply]) -> None:
        if reply.cancelled():
            return
        error = reply.exception()
        subscription = self._subscriptions.get(channel)
        if isinstance(error, RealtimeError) and subscription is not None:
            subscription.end(error)
        self._unanswered.discard(channel)
        if not self._unanswered:
            self._served()

    async def _read(self) -> str:
        try:
            async for frame in self._socket:
                if isinstance(frame, str):
                    return "the hub sent text"
                for entry in entries(frame):
                    if isinstance(entry, Delivery):
                        subscription = self._numbers.get(entry.number)
                        if subscription is not None:
                            subscription.take(entry.lane, entry.offset, entry.data)
                    elif self._control(entry):
                        return "the hub shuts down"
                for subscription in self._numbers.values():
                    if not subscription.has_room:
                        await subscription.until_room()
        except (FrameError, msgspec.MsgspecError) as error:
            return f"the hub sent what it should not: {error}"
        except ConnectionClosed:
            pass
        return _closed(self._socket)

    def _control(self, entry: bytes) -> bool:
        """Take what the hub says; whether it asked to leave."""
        match decode_control(entry):
            case Subscribed() as told:
                self._subscribed(told)
            case Unsubscribed() as told:
                self._outgoing.answered(told)
                if told.channel in self._subscriptions and told.channel not in self._unanswered:
                    self.subscribe(told.channel)  # wanted again before the hub had let it go
            case Accepted() as reply:
                self._outgoing.answered(reply)
            case Refused() as refusal:
                self._outgoing.refused(refusal)
            case Welcome() as welcome:
                self._silence_s = welcome.heartbeat_s + welcome.timeout_s
                self._greeted.set()
                self._welcomed(welcome.load)
            case Dropped() as dropped if dropped.number in self._numbers:
                self._numbers[dropped.number].dropped += dropped.messages
            case Gap() as gap if gap.number in self._numbers:
                position = position_of(gap.position)
                self._numbers[gap.number].starts(position, recovered=False)
            case Draining() as draining:
                self.draining_s = draining.within_s
                return True
        return False

    def _subscribed(self, told: Subscribed) -> None:
        subscription = self._subscriptions.get(told.channel)
        if subscription is None:
            self.unsubscribe(told.channel)  # left before the hub had it
        else:
            self._numbers[told.number] = subscription
            subscription.starts(position_of(told.position), recovered=told.recovered)
        self._outgoing.answered(told)

    async def _send(self) -> str:
        try:
            while True:
                wanted = await self._outgoing.next()
                await self._socket.send(encode_request(wanted.request).decode())
        except ConnectionClosed:
            return _closed(self._socket)

    async def _watch(self) -> str:
        """Return when the hub said nothing for longer than it ever should."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WELCOME_S):
                await self._greeted.wait()
        while True:
            left_s = self._socket.heard_at + self._silence_s - loop.time()
            if left_s <= 0:
                self._socket.transport.abort()
                return f"nothing was heard for {self._silence_s:g} s"
            await asyncio.sleep(left_s)


def _closed(socket: ClientSocket) -> str:
    code, reason = socket.close_code, socket.close_reason
    return f"closed with {code}{f': {reason}' if reason else ''}"
