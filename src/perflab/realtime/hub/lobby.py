"""Sockets that were accepted and whose handshake is not over: a bounded number of them."""

from __future__ import annotations

from typing import Generic, TypeVar

from perflab.realtime.errors import RealtimeError

C = TypeVar("C")


class Lobby(Generic[C]):
    """Lets in as many as there is room for; each leaves when its handshake ends, in any way.

    Whoever connects and says nothing is not counted among the connections, and costs memory and a
    file all the same until ``open_s`` is over.

    Args:
        limit: how many may be in it.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise RealtimeError(f"a lobby for {limit}: must be at least 1")
        self._limit = limit
        self._inside: set[C] = set()
        self.turned_away = 0
        """How many found no room."""

    def __len__(self) -> int:
        return len(self._inside)

    def enter(self, connection: C) -> bool:
        """Take a place; False if there is none."""
        if len(self._inside) >= self._limit:
            self.turned_away += 1
            return False
        self._inside.add(connection)
        return True

    def leave(self, connection: C) -> None:
        """Give it back, if it was taken."""
        self._inside.discard(connection)
