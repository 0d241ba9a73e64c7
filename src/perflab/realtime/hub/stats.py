"""What a hub counts."""

from __future__ import annotations

import msgspec


class HubStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a hub since it was started."""

    connections: int
    """Open now."""
    channels: int
    """Listened to now."""
    subscriptions: int
    """Of all open connections."""
    queued: int
    """Messages that wait for connections which take too little."""
    opened: int
    """Connections that completed the handshake."""
    refused_full: int
    """Sent away because the hub was full or draining."""
    refused_token: int
    """Sent away for want of a good token."""
    refused_handshake: int
    """Sockets closed because too many others had not finished their handshakes."""
    requests: int
    malformed: int
    """Requests that were none."""
    rate_limited: int
    forbidden: int
    """Requests for a channel that the user may not use."""
    heard: int
    """Messages passed on, once for each however many subscribers there are."""
    deliveries: int
    """Messages handed to connections."""
    frames: int
    """WebSocket frames that carried them."""
    flushes: int
    """Times that waiting batches were sent together."""
    dropped: int
    """Normal messages left out for connections that were too slow."""
    slow: int
    """Connections closed because they took nothing, or not even their critical messages."""
    dead: int
    """Connections cut off for not answering a ping."""
    hostile: int
    """Connections closed for too much that was malformed, or too much at all."""
    recovered: int
    """Subscriptions that continued where they had stopped."""
    not_recovered: int
    """Subscriptions that were told that something is missing."""
    gaps: int
    """Times that the hub itself could not tell what a channel lost."""
    losses: int
    """Times that listening to Redis broke off."""


class Counters:
    """The running counts, by the names of ``HubStats``."""

    __slots__ = (
        "dead", "deliveries", "dropped", "flushes", "forbidden", "frames", "gaps", "heard",
        "hostile", "malformed", "not_recovered", "opened", "rate_limited", "recovered",
        "refused_full", "refused_token", "requests", "slow",
    )  # fmt: skip

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    dead: int
    deliveries: int
    dropped: int
    flushes: int
    forbidden: int
    frames: int
    gaps: int
    heard: int
    hostile: int
    malformed: int
    not_recovered: int
    opened: int
    rate_limited: int
    recovered: int
    refused_full: int
    refused_token: int
    requests: int
    slow: int

    def by_name(self) -> dict[str, int]:
        """The counts as they are."""
        return {name: getattr(self, name) for name in self.__slots__}
