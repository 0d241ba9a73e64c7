"""What can be seen of a client from outside: its state, and what outages it went through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from perflab.realtime.client.callbacks import call_back

State: TypeAlias = Literal["connected", "degraded", "reconnecting", "failed", "closed"]
"""``degraded``: polling. ``failed``: no attempt is left and nothing to poll; it stays so."""
KEPT = 100
"""Transitions and outages that are remembered."""


class Transition(msgspec.Struct, frozen=True):
    """A change of state."""

    at: float
    """By the client's clock."""
    state: State
    detail: str


class Outage(msgspec.Struct, kw_only=True):
    """One connection lost, and what it took to be back; times by the client's clock."""

    heard_at: float
    """The last byte of the connection that was lost."""
    detected_at: float
    """When the client knew. For a connection that falls silent that is a heartbeat and a timeout
    later; reconnecting begins only here."""
    url: str
    """The hub that was lost."""
    reason: str
    attempts: int = 0
    back_at: float | None = None
    """When all subscriptions were answered again, by any way."""
    back_by: State | None = None
    """``connected`` or ``degraded``."""


class Track:
    """Keeps the state and the outages.

    Args:
        clock: seconds.
        changed: called with each transition.
    """

    def __init__(
        self, clock: Callable[[], float], changed: Callable[[Transition], object] | None
    ) -> None:
        self._clock = clock
        self._changed = changed
        self.state: State = "reconnecting"
        self.transitions: list[Transition] = []
        self.outages: list[Outage] = []

    def to(self, state: State, detail: str) -> None:
        """Go to a state."""
        if state == self.state:
            return
        self.state = state
        transition = Transition(self._clock(), state, detail)
        self.transitions = [*self.transitions[-KEPT + 1 :], transition]
        if self._changed is not None:
            call_back("on_state", self._changed, transition)

    def lost(self, heard_at: float, url: str, reason: str) -> None:
        """A connection was lost, and this is known now."""
        outage = Outage(heard_at=heard_at, detected_at=self._clock(), url=url, reason=reason)
        self.outages = [*self.outages[-KEPT + 1 :], outage]
        self.to("reconnecting", reason)

    def attempt(self) -> None:
        """One more attempt to connect."""
        if self.outages and self.outages[-1].back_at is None:
            self.outages[-1].attempts += 1

    def back(self, state: State, detail: str) -> None:
        """All subscriptions are served again."""
        if self.outages and self.outages[-1].back_at is None:
            self.outages[-1].back_at = self._clock()
            self.outages[-1].back_by = state
        self.to(state, detail)
