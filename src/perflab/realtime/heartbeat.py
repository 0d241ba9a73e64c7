"""One wheel that pings all connections of a hub, instead of a timer for each."""

from __future__ import annotations

from typing import Final, Generic, Protocol, TypeVar

from perflab.arguments import check_seconds
from perflab.realtime.errors import RealtimeError

TICKS_A_TIMEOUT: Final = 4


class Heard(Protocol):
    """Something that is heard from."""

    seen_at: float
    """When the last byte came, by the wheel's clock."""


C = TypeVar("C", bound=Heard)


class PingWheel(Generic[C]):
    """Spreads connections over slots; each tick pings one slot and looks at those pinged before.

    A connection is dead when it said nothing since a ping that is ``timeout_s`` old. So one that
    falls silent is found at most ``heartbeat_s + timeout_s`` and two ticks later. All members of a
    slot cost one loop, and an idle hub wakes up once a tick.

    Args:
        heartbeat_s: between two pings of a connection.
        timeout_s: for the answer; at most the heartbeat.
    """

    def __init__(self, *, heartbeat_s: float, timeout_s: float) -> None:
        check_seconds("heartbeat_s", heartbeat_s, RealtimeError)
        check_seconds("timeout_s", timeout_s, RealtimeError)
        if timeout_s > heartbeat_s:
            raise RealtimeError(
                f"timeout_s={timeout_s}: must be above 0 and at most heartbeat_s={heartbeat_s}"
            )
        self.tick_s: Final = timeout_s / TICKS_A_TIMEOUT
        self._slots: list[dict[C, None]] = [
            {} for _ in range(max(TICKS_A_TIMEOUT + 1, round(heartbeat_s / self.tick_s)))
        ]
        self._pinged: list[dict[C, float]] = [{} for _ in self._slots]
        self._slot_of: dict[C, int] = {}
        self._now = self._next = 0

    def __len__(self) -> int:
        return len(self._slot_of)

    def add(self, connection: C) -> None:
        """Watch a connection, from a slot that spreads them evenly."""
        slot = self._next = (self._next + 1) % len(self._slots)
        self._slots[slot][connection] = None
        self._slot_of[connection] = slot

    def remove(self, connection: C) -> None:
        """Watch it no longer."""
        slot = self._slot_of.pop(connection, None)
        if slot is not None:
            del self._slots[slot][connection]
            self._pinged[slot].pop(connection, None)

    def tick(self, now: float) -> tuple[list[C], list[C]]:
        """Who is to be pinged now, and who is dead; the dead are watched no longer."""
        self._now = (self._now + 1) % len(self._slots)
        asked = self._pinged[(self._now - TICKS_A_TIMEOUT) % len(self._slots)]
        dead = [connection for connection, at in asked.items() if connection.seen_at < at]
        asked.clear()
        for connection in dead:
            self.remove(connection)
        due = list(self._slots[self._now])
        self._pinged[self._now] = dict.fromkeys(due, now)
        return due, dead
