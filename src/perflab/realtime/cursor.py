"""A client's place in one channel: what it has seen, so that nothing is handed out twice."""

from __future__ import annotations

from perflab.realtime.messages import Lane, Position


class Cursor:
    """Advances with each message and says which are new."""

    def __init__(self) -> None:
        self.position: Position | None = None
        """To resume from; None before the channel was ever subscribed."""
        self.duplicates = 0
        """Messages that came again."""
        self.missed = 0
        """Messages that are known to be missing: left out for a slow client, never a lost gap's,
        whose number nobody knows."""

    def starts(self, position: Position) -> None:
        """What follows comes after this position."""
        self.position = position

    def accepts(self, lane: Lane, offset: int) -> bool:
        """Whether the message is new; it counts as seen then."""
        position = self.position
        if position is None or offset <= position.of(lane):
            self.duplicates += 1
            return False
        self.missed += offset - position.of(lane) - 1
        self.position = position.moved(lane, offset)
        return True
