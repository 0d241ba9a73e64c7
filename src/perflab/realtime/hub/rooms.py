"""Who is subscribed to what: channels as a hub knows them, joined and left without a seam."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from perflab.realtime.batching import Batch
from perflab.realtime.continuity import Continuity, Heard
from perflab.realtime.errors import ChannelsUnavailable
from perflab.realtime.feed import Feed
from perflab.realtime.frames import message_entry
from perflab.realtime.hub.connection import HubConnection
from perflab.realtime.hub.fanout import Fanout
from perflab.realtime.hub.stats import Counters
from perflab.realtime.log import ChannelLog
from perflab.realtime.messages import Message, Position
from perflab.realtime.protocol import Gap, Subscribed, Unsubscribed
from perflab.realtime.resume import Join

_AGAIN_S: Final = 0.2
IDLE_S: Final = 30.0
"""How long a channel without subscribers is listened to: those who reconnect need no more then."""


class Room:
    """One channel."""

    def __init__(self, name: str, number: int, fanout: Fanout) -> None:
        self.name = name
        self.number = number
        self.continuity = Continuity()
        self.subscribers = fanout.open(number)
        self.joins: list[Join] = []
        self.idle_since: float | None = None
        self.opening: asyncio.Task[None] | None = None


class Rooms:
    """The channels of a hub."""

    def __init__(self, log: ChannelLog, url: str, fanout: Fanout, counters: Counters) -> None:
        self._log = log
        self._fanout = fanout
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._rooms: dict[str, Room] = {}
        self._by_number: dict[int, Room] = {}
        self._numbers = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._catching_up: dict[Room, asyncio.Task[None]] = {}
        self._feed = Feed(url, topic=log.topic, heard=self._heard, lost=self._lost)

    def __len__(self) -> int:
        return len(self._rooms)

    @property
    def losses(self) -> int:
        """Times that listening broke off."""
        return self._feed.losses

    @property
    def subscriptions(self) -> int:
        """Of all connections."""
        return sum(len(room.subscribers) for room in self._rooms.values())

    def start(self) -> None:
        """Listen."""
        self._feed.start()

    async def close(self) -> None:
        """Listen no longer."""
        await self._feed.close()  # first: losing it makes work
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def subscribe(
        self, connection: HubConnection, request: int, channel: str, after: Position | None
    ) -> None:
        """Send a channel to a connection, from a position on if that is still possible.

        Raises:
            ChannelsUnavailable: Redis does not answer.
        """
        room = self._rooms.get(channel)
        if room is None:
            self._numbers += 1
            room = self._rooms[channel] = Room(channel, self._numbers, self._fanout)
            self._by_number[room.number] = room
            room.opening = self._task(self._open(room))
        if room.opening is not None:
            await asyncio.shield(room.opening)
        here = room.continuity.position
        if here is None:
            raise ChannelsUnavailable("Redis does not answer; subscribe again")
        missed: Sequence[Message] | None = ()
        if after is not None and after != here:
            missed = await self._missed(room, after)
            here = room.continuity.position or here
        # who joins now gets what is passed on from now, so nothing of a batch that is open
        self._fanout.flush(room.number)
        if connection.is_open:
            self._join(room, connection, request, here if after is None else after, missed)

    def unsubscribe(self, connection: HubConnection, request: int, channel: str) -> None:
        """Send it no more."""
        room = self._rooms.get(channel)
        if room is not None:
            self._leave(room, connection)
            self._fanout.forget(connection, room.number)
        self._fanout.tell(connection, Unsubscribed(request, channel))

    def ended(self, connection: HubConnection) -> None:
        """A connection is gone."""
        for number in tuple(connection.channels):
            self._leave(self._by_number[number], connection)

    def sweep(self) -> None:
        """Stop listening to channels that nobody subscribed to for a while."""
        now = self._loop.time()
        for room in tuple(self._rooms.values()):
            if room.subscribers or room.joins or room.opening is not None:
                room.idle_since = None
            elif room.idle_since is None:
                room.idle_since = now
            elif now - room.idle_since > IDLE_S:
                self._close(room)

    def _join(
        self,
        room: Room,
        connection: HubConnection,
        request: int,
        start: Position,
        missed: Sequence[Message] | None,
    ) -> None:
        recovered = missed is not None
        if missed is None:
            self._counters.not_recovered += 1
            start = room.continuity.position or start
        elif missed:
            self._counters.recovered += 1
        entries = (
            message_entry(room.number, one.lane, one.offset, one.data) for one in missed or ()
        )
        history = Batch(room.number, len(missed or ()), b"".join(entries))
        room.subscribers[connection] = None
        connection.channels.add(room.number)
        self._fanout.forget(connection, room.number)  # of a subscription before
        told = Subscribed(request, room.name, room.number, start.text(), recovered)
        self._fanout.tell(connection, told, then=history)

    def _leave(self, room: Room, connection: HubConnection) -> None:
        room.subscribers.pop(connection, None)
        connection.channels.discard(room.number)

    async def _missed(self, room: Room, after: Position) -> Sequence[Message] | None:
        join = Join(after)
        room.joins.append(join)
        try:
            history = await self._log.read(room.name, after)
        finally:
            room.joins.remove(join)
        upto = room.continuity.position
        return None if upto is None else join.missed(history, upto)

    async def _open(self, room: Room) -> None:
        try:
            await self._feed.subscribe(room.name)
            await self._read(room)
        except ChannelsUnavailable:
            self._close(room)  # whoever comes next begins anew
        else:
            room.opening = None
            self._see_to(room)

    def _close(self, room: Room) -> None:
        del self._rooms[room.name], self._by_number[room.number]
        self._fanout.close(room.number)
        self._task(self._feed.unsubscribe(room.name))

    def _heard(self, told: Heard) -> None:
        room = self._rooms.get(told.message.channel)
        if room is not None:
            self._pass_on(room, room.continuity.heard(told))
            self._see_to(room)

    def _lost(self) -> None:
        for room in self._rooms.values():
            room.continuity.lost()
            self._see_to(room)

    def _see_to(self, room: Room) -> None:
        """Read the log where a channel is behind."""
        if room.continuity.behind and room.opening is None and room not in self._catching_up:
            task = self._catching_up[room] = self._task(self._catch_up(room))
            task.add_done_callback(lambda _: self._catching_up.pop(room, None))

    async def _catch_up(self, room: Room) -> None:
        while room.continuity.behind and self._rooms.get(room.name) is room:
            with contextlib.suppress(ChannelsUnavailable):
                await self._read(room)
                continue
            await asyncio.sleep(_AGAIN_S)

    async def _read(self, room: Room) -> None:
        history = await self._log.read(room.name, room.continuity.asks())
        complete, messages = room.continuity.caught_up(history)
        if not complete:
            self._counters.gaps += 1
            # what was sent before must arrive before
            self._fanout.finish()
            gap = Gap(room.number, history.position.text())
            for connection in tuple(room.subscribers):
                self._fanout.forget(connection, room.number)
                self._fanout.tell(connection, gap)
        self._pass_on(room, messages)

    def _pass_on(self, room: Room, messages: Sequence[Message]) -> None:
        for message in messages:
            for join in room.joins:
                join.passed(message)
            self._fanout.message(room.number, message)

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
