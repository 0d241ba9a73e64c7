"""What a client wants of its hub: requests to be sent, and those that wait for a reply."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias

from perflab.realtime.errors import ChannelsUnavailable, RealtimeError
from perflab.realtime.messages import LANES, Lane
from perflab.realtime.protocol import (
    Accepted,
    Publish,
    Refused,
    Request,
    Subscribe,
    Subscribed,
    Unsubscribed,
)

Reply: TypeAlias = Subscribed | Unsubscribed | Accepted
_AGAIN: Final = ("rate_limited", "unavailable")


@dataclass(eq=False)
class Wanted:
    """One request."""

    request: Request
    lane: Lane
    reply: asyncio.Future[Reply]


class Outgoing:
    """Two queues, the critical lane's first, bounded together.

    A publication that was sent when its connection broke is never sent again by itself: it may
    have been carried out.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queues: dict[Lane, deque[Wanted]] = {lane: deque() for lane in LANES}
        self._sent: dict[int, Wanted] = {}
        self._arrived = asyncio.Event()
        self._later: dict[Wanted, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def put(self, request: Request, lane: Lane) -> asyncio.Future[Reply]:
        """Ask for something; a RealtimeError if too many publications wait already."""
        if isinstance(request, Publish) and len(self) >= self._limit:
            raise RealtimeError(
                f"{self._limit} requests wait for a connection already; publish more slowly"
            )
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._queue(Wanted(request, lane, reply))
        return reply

    async def next(self) -> Wanted:
        """The next one to be sent; it counts as sent."""
        while True:
            for queue in self._queues.values():
                while queue:
                    wanted = queue.popleft()
                    if not wanted.reply.done():  # who asked may have given up
                        self._sent[wanted.request.id] = wanted
                        return wanted
            self._arrived.clear()
            await self._arrived.wait()

    def answered(self, reply: Reply) -> None:
        """A reply came."""
        wanted = self._sent.pop(reply.id, None)
        if wanted is not None and not wanted.reply.done():
            wanted.reply.set_result(reply)

    def refused(self, refusal: Refused) -> None:
        """A refusal came; what only came too early is sent again."""
        wanted = self._sent.pop(refusal.id, None)
        if wanted is None or wanted.reply.done():
            return
        if refusal.reason in _AGAIN:
            loop = asyncio.get_running_loop()
            self._later[wanted] = loop.call_later(refusal.retry_after_s, self._again, wanted)
            return
        wanted.reply.set_exception(RealtimeError(f"{refusal.reason}: {refusal.detail}"))

    def lost(self) -> None:
        """The connection is gone: nobody knows what became of the publications under way.

        Those that were not sent yet wait for the next connection, on which every channel is
        subscribed anew.
        """
        sent, self._sent = self._sent, {}
        for wanted, timer in tuple(self._later.items()):
            if isinstance(wanted.request, Subscribe):
                timer.cancel()
                del self._later[wanted]
                wanted.reply.cancel()
        for lane, queue in self._queues.items():
            self._queues[lane] = deque(
                one for one in queue if not isinstance(one.request, Subscribe)
            )
        for wanted in sent.values():
            if wanted.reply.done():
                continue
            if isinstance(wanted.request, Publish):
                wanted.reply.set_exception(
                    ChannelsUnavailable(
                        "the connection was lost before the hub answered; the message may have"
                        " been published or not"
                    )
                )
            else:
                wanted.reply.cancel()

    def close(self, error: RealtimeError) -> None:
        """Nothing will be sent any more."""
        for timer in self._later.values():
            timer.cancel()
        queued = itertools.chain.from_iterable(self._queues.values())
        waiting = [*self._sent.values(), *self._later, *queued]
        self._later.clear()
        self._sent.clear()
        for queue in self._queues.values():
            queue.clear()
        for wanted in waiting:
            if not wanted.reply.done():
                wanted.reply.set_exception(error)

    def _queue(self, wanted: Wanted) -> None:
        self._queues[wanted.lane].append(wanted)
        self._arrived.set()

    def _again(self, wanted: Wanted) -> None:
        del self._later[wanted]
        if not wanted.reply.done():
            self._queue(wanted)
