"""Long polls: what a channel holds after a position, waited for if there is nothing new."""

from __future__ import annotations

import asyncio
import contextlib

from perflab.arguments import check_seconds
from perflab.realtime.continuity import Heard
from perflab.realtime.errors import RealtimeError
from perflab.realtime.feed import Feed
from perflab.realtime.log import ChannelLog
from perflab.realtime.messages import History, Position


class Waiting:
    """Answers long polls.

    Args:
        log: read and written by others too; not closed here.
        url: of its Redis.
    """

    def __init__(self, log: ChannelLog, url: str) -> None:
        self._log = log
        self._url = url
        self._feed: Feed | None = None
        self._askers: dict[str, set[asyncio.Event]] = {}

    async def __aenter__(self) -> Waiting:
        self._feed = Feed(self._url, topic=self._log.topic, heard=self._heard, lost=self._lost)
        self._feed.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._lost()
        feed, self._feed = self._feed, None
        if feed is not None:
            await feed.close()

    async def read(self, channel: str, after: Position | None, wait_s: float) -> History:
        """What follows a position, at the latest after ``wait_s``; at once if there is something.

        Raises:
            RealtimeError: the channel is none, or ``wait_s`` no time.
            ChannelsUnavailable: Redis does not answer.
        """
        check_seconds("wait_s", wait_s, RealtimeError, zero=True)
        found = await self._log.read(channel, after)
        feed = self._feed
        if after is None or not found.recovered or found.messages or wait_s <= 0 or feed is None:
            return found
        told = asyncio.Event()
        askers = self._askers.setdefault(channel, set())
        askers.add(told)
        try:
            await feed.subscribe(channel)
            found = await self._log.read(channel, after)  # what came before it was listened to
            if found.recovered and not found.messages:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await told.wait()
                found = await self._log.read(channel, after)
        finally:
            askers.discard(told)
            if not askers and self._askers.get(channel) is askers:
                del self._askers[channel]
                await feed.unsubscribe(channel)
        return found

    def _heard(self, heard: Heard) -> None:
        for told in self._askers.get(heard.message.channel, ()):
            told.set()

    def _lost(self) -> None:
        for askers in self._askers.values():
            for told in askers:
                told.set()
