"""What waits for one slow connection: bounded, the critical lane first, never cut in silence."""

from __future__ import annotations

from collections import deque
from typing import Final

from perflab.realtime.batching import Batch
from perflab.realtime.frames import LARGEST_FRAME_BYTES
from perflab.realtime.protocol import Dropped, control

DEFAULT_LIMIT: Final = 1_000


class Outbox:
    """Two queues of batches, together at most ``limit`` messages.

    Beyond that the oldest normal batch goes, and the client is told how many messages of which
    channel it lost, before anything newer of that channel. Where only critical messages are left
    to drop, nothing is: the connection is to be closed instead.
    """

    __slots__ = ("_critical", "_limit", "_lost", "_normal", "dropped", "messages")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self._critical: deque[Batch] = deque()
        self._normal: deque[Batch] = deque()
        self._lost: dict[int, int] = {}
        self.messages = 0
        """That wait."""
        self.dropped = 0
        """That were left out so far."""

    def __bool__(self) -> bool:
        return self.messages > 0 or bool(self._lost)

    def push(self, batch: Batch, *, critical: bool) -> bool:
        """Add a batch; False if it does not fit, however much of the normal lane is dropped."""
        (self._critical if critical else self._normal).append(batch)
        self.messages += batch.messages
        while self.messages > self._limit and self._normal:
            self._drop(self._normal.popleft())
        return self.messages <= self._limit

    def forget(self, number: int) -> None:
        """Nothing of a channel is wanted any more."""
        for queue in (self._critical, self._normal):
            kept = [batch for batch in queue if batch.number != number]
            self.messages -= sum(batch.messages for batch in queue) - sum(
                batch.messages for batch in kept
            )
            queue.clear()
            queue.extend(kept)
        self._lost.pop(number, None)

    def take(self, most_bytes: int = LARGEST_FRAME_BYTES) -> bytes:
        """What to send next, at most so much of it (but one batch in any case); b"" for nothing."""
        taken: list[bytes] = []
        size = 0
        for queue in (self._critical, self._normal):
            if queue is self._normal and self._lost:
                taken += (control(Dropped(number, lost)) for number, lost in self._lost.items())
                self._lost.clear()
            while queue and (not size or size + len(queue[0].payload) <= most_bytes):
                batch = queue.popleft()
                self.messages -= batch.messages
                size += len(batch.payload)
                taken.append(batch.payload)
        return b"".join(taken)

    def _drop(self, batch: Batch) -> None:
        self.messages -= batch.messages
        self.dropped += batch.messages
        self._lost[batch.number] = self._lost.get(batch.number, 0) + batch.messages
