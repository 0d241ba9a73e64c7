"""Several connections used as one: subscriptions and publications go where there is least to do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
import numpy as np

from perflab.arguments import check_whole
from perflab.realtime.client.client import RealtimeClient
from perflab.realtime.client.settings import ClientSettings
from perflab.realtime.client.states import State, Transition
from perflab.realtime.client.subscription import OnGap, OnMessage, Subscription
from perflab.realtime.endpoints import Endpoints
from perflab.realtime.errors import RealtimeError
from perflab.realtime.log import Published
from perflab.realtime.messages import Lane, Position, check_channel

DEFAULT_SIZE: Final = 4
_HEALTH: Final[Sequence[State]] = ("connected", "degraded", "reconnecting", "failed", "closed")
"""From well to ill."""


@dataclass(eq=False)
class Member:
    """One connection of a pool, and what it does."""

    client: RealtimeClient
    channels: int = 0
    """Subscribed to."""
    under_way: int = 0
    """Publications without an answer."""

    @property
    def cost(self) -> tuple[int, int]:
        """Its health first, then its load."""
        return _HEALTH.index(self.client.state), self.channels + self.under_way


def better_of_two(members: Sequence[Member], rng: np.random.Generator) -> Member:
    """The better of two drawn at random, as ``Endpoints`` chooses, and for the same reasons."""
    if len(members) == 1:
        return members[0]
    drawn = rng.choice(len(members), size=2, replace=False)
    return min((members[int(index)] for index in drawn), key=lambda member: member.cost)


class ClientPool:
    """Connections that share what they know of the hubs; each reconnects and resumes by itself.

    A hub carries out the requests of a connection one after the other, and limits each connection
    for itself; several take as many at a time. A channel is subscribed over one of them.
    Publications into one channel stay in order: while any is under way, the next one takes the
    same connection.

    Args:
        endpoints: the hubs, ``ws://…``.
        token: as a ``RealtimeClient``'s, and so is the rest.
        size: how many connections.
        api: to poll, and for tokens of a session.
        session: the token of a login to the API.
        settings: of each connection.
        seed: of the choices and of the jitter; None for one of the system's.
        on_state: called with each change of state of any connection; must not block.
        transport: what reaches the API.

    Raises:
        RealtimeError: an argument has no usable value.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        token: str | None = None,
        *,
        size: int = DEFAULT_SIZE,
        api: str | None = None,
        session: str | None = None,
        settings: ClientSettings | None = None,
        seed: int | None = None,
        on_state: Callable[[Transition], object] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        check_whole("size", size, RealtimeError)
        self._rng = np.random.default_rng(seed)
        shared = Endpoints(endpoints, self._rng)
        self._members = [
            Member(
                RealtimeClient(
                    shared,
                    token,
                    api=api,
                    session=session,
                    settings=settings,
                    seed=int(self._rng.integers(2**32)),
                    on_state=on_state,
                    transport=transport,
                )
            )
            for _ in range(size)
        ]
        self._subscribed: dict[str, Member] = {}
        self._publishing: dict[str, tuple[Member, int]] = {}
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> ClientPool:
        for member in self._members:
            await self._stack.enter_async_context(member.client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def states(self) -> Sequence[State]:
        """Of each connection."""
        return [member.client.state for member in self._members]

    async def subscribe(
        self,
        channel: str,
        on_message: OnMessage | None = None,
        *,
        on_gap: OnGap | None = None,
        after: Position | None = None,
    ) -> Subscription:
        """As ``RealtimeClient.subscribe``, over the connection with less to do."""
        check_channel(channel)
        if channel in self._subscribed:
            raise RealtimeError(f"channel {channel!r} is subscribed already; use that subscription")
        member = self._subscribed[channel] = better_of_two(self._members, self._rng)
        member.channels += 1
        try:
            return await member.client.subscribe(channel, on_message, on_gap=on_gap, after=after)
        except BaseException:
            self._forget(channel)
            raise

    async def unsubscribe(self, channel: str) -> None:
        """End a subscription; its ``async for`` ends with what it has."""
        member = self._forget(channel)
        if member is not None:
            await member.client.unsubscribe(channel)

    async def publish(self, channel: str, value: Any, lane: Lane = "normal") -> Published:
        """As ``RealtimeClient.publish``, over the connection with less to do."""
        check_channel(channel)
        member, under_way = self._publishing.get(channel) or (
            better_of_two(self._members, self._rng),
            0,
        )
        self._publishing[channel] = member, under_way + 1
        member.under_way += 1
        try:
            return await member.client.publish(channel, value, lane)
        finally:
            member.under_way -= 1
            _, under_way = self._publishing.pop(channel)
            if under_way > 1:
                self._publishing[channel] = member, under_way - 1

    def _forget(self, channel: str) -> Member | None:
        member = self._subscribed.pop(channel, None)
        if member is not None:
            member.channels -= 1
        return member
