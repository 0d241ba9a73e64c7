"""The normal lane's batches: many messages in one write, none waiting longer than the interval."""

from __future__ import annotations

from typing import Final, NamedTuple

from perflab.arguments import check_seconds, check_whole
from perflab.realtime.errors import RealtimeError

DEFAULT_INTERVAL_S: Final = 0.050
DEFAULT_MOST: Final = 50
MOST_BYTES: Final = 128 * 1024
"""Of a batch, before its last message: large messages gain nothing by waiting for each other."""


NO_CHANNEL: Final = 0
"""Channels are numbered from 1."""


class Batch(NamedTuple):
    """Messages of one channel, encoded once for everybody."""

    number: int
    """The channel's; ``NO_CHANNEL`` for what belongs to none."""
    messages: int
    payload: bytes


class Batches:
    """Gathers messages by channel until one channel has ``most`` or the oldest waited long enough.

    One deadline serves all channels: when it comes, everything that waits is flushed together, so
    that a connection with many channels gets it in one write.

    Args:
        interval_s: the longest that a message waits; 0 sends each at once.
        most: messages of a channel that are not kept waiting any longer.
    """

    def __init__(self, *, interval_s: float = DEFAULT_INTERVAL_S, most: int = DEFAULT_MOST) -> None:
        check_seconds("interval_s", interval_s, RealtimeError, zero=True)
        check_whole("most", most, RealtimeError)
        self._interval_s = interval_s
        self._most = most
        self._gathered: dict[int, list[bytes]] = {}
        self._bytes: dict[int, int] = {}
        self.due_at: float | None = None
        """When ``flush`` must be called; None while nothing waits."""

    def add(self, number: int, entry: bytes, now: float) -> Batch | None:
        """Add an encoded message; the channel's batch if it is to be sent now."""
        if self._interval_s == 0:
            return Batch(number, 1, entry)
        gathered = self._gathered.setdefault(number, [])
        gathered.append(entry)
        size = self._bytes[number] = self._bytes.get(number, 0) + len(entry)
        if len(gathered) >= self._most or size >= MOST_BYTES:
            return self.take(number)
        if self.due_at is None:
            self.due_at = now + self._interval_s
        return None

    def take(self, number: int) -> Batch | None:
        """What waits of one channel, to be sent before anything else of it; None for nothing."""
        gathered = self._gathered.pop(number, None)
        if gathered is None:
            return None
        del self._bytes[number]
        if not self._gathered:
            self.due_at = None
        return _joined(number, gathered)

    def flush(self) -> list[Batch]:
        """Everything that waits."""
        self.due_at = None
        self._bytes.clear()
        gathered, self._gathered = self._gathered, {}
        return [_joined(number, entries) for number, entries in gathered.items()]


def _joined(number: int, entries: list[bytes]) -> Batch:
    return Batch(number, len(entries), b"".join(entries))
