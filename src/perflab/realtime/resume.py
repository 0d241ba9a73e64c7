"""Where a subscriber joins a channel: what it missed, joined without a seam to what comes live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from perflab.realtime.messages import LANES, History, Message, Position

MOST_BYTES: Final = 4 << 20
"""Of what a resume hands out at once; a client that missed more starts anew."""


class Join:
    """A subscriber that waits for the log while the channel's hub goes on passing messages on.

    Args:
        after: the last position that the subscriber saw.
    """

    def __init__(self, after: Position) -> None:
        self.after: Final = after
        self._recorded: list[Message] = []

    def passed(self, message: Message) -> None:
        """The hub passed a message on to the channel's other subscribers."""
        self._recorded.append(message)

    def missed(self, history: History, upto: Position) -> Sequence[Message] | None:
        """All messages after ``after`` up to where the hub is, in order within each lane.

        The log may have been read before or after the hub got there: what it has beyond ``upto``
        comes live, and what came meanwhile was recorded. None if anything is missing.
        """
        if not (history.recovered and self.after.epoch == history.position.epoch == upto.epoch):
            return None
        missed: list[Message] = []
        size = 0
        for lane in LANES:
            known = {
                one.offset: one
                for messages in (history.messages, self._recorded)
                for one in messages
                if one.lane == lane
            }
            for offset in range(self.after.of(lane) + 1, upto.of(lane) + 1):
                if offset not in known:
                    return None
                missed.append(known[offset])
                size += len(known[offset].data)
        return missed if size <= MOST_BYTES else None
