"""Whether what a hub hears of a channel is all of it; if not, the log is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from perflab.realtime.messages import History, Message, Position


class Heard(NamedTuple):
    """A message as Redis tells it to its listeners."""

    epoch: str
    message: Message


class Continuity:
    """Puts what is heard live and what the log holds together, each message once and in order.

    Listening loses messages while its connection is down, and says so at best. So each message
    must follow the one before it in its lane. If not, what is heard waits until the log was read:
    whoever sees ``behind`` calls ``asks``, reads the log and gives it to ``caught_up``.
    """

    def __init__(self) -> None:
        self.position: Position | None = None
        """Of the last message that was passed on; None until the log was read once."""
        self.behind = True
        """Whether the log must be read before anything more is passed on."""
        self.gaps = 0
        """How often the log could not tell what was missing."""
        self._waiting: list[Heard] = []
        self._lost = False

    def lost(self) -> None:
        """Listening was interrupted: anything may have been missed."""
        self.behind = self._lost = True

    def asks(self) -> Position | None:
        """The position after which to read the log, now; None to read where it stands."""
        self._lost = False
        return self.position

    def heard(self, told: Heard) -> Sequence[Message]:
        """What can be passed on now."""
        position = self.position
        if self.behind or position is None:
            self._waiting.append(told)
            return ()
        message = told.message
        last = position.of(message.lane)
        if told.epoch == position.epoch and message.offset <= last:
            return ()
        if told.epoch != position.epoch or message.offset != last + 1:
            self.behind = True
            self._waiting.append(told)
            return ()
        self.position = position.moved(message.lane, message.offset)
        return (message,)

    def caught_up(self, history: History) -> tuple[bool, list[Message]]:
        """Whether nothing is missing, and what can be passed on now.

        If something is, everything before ``history.position`` is given up, and what is passed on
        follows it. ``behind`` may be set again by what was heard meanwhile.
        """
        before = self.position
        complete = before is None or history.recovered
        if not complete:
            self.gaps += 1
        passed = [] if before is None or not complete else list(history.messages)
        self.position = history.position
        self.behind = newer = False
        waiting, self._waiting = self._waiting, []
        for told in waiting:
            if told.epoch == history.position.epoch:
                passed += self.heard(told)
            elif before is None or told.epoch != before.epoch:
                newer = True  # than what was read; the next reading tells
        # what was lost since the log was asked may not be in the answer
        self.behind |= newer or self._lost
        return complete, passed
