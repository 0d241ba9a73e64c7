"""How a hub is set up, typed and checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from perflab.arguments import check_kind, check_seconds, check_whole
from perflab.ratelimit import REALTIME, Policy
from perflab.realtime.batching import DEFAULT_INTERVAL_S, DEFAULT_MOST
from perflab.realtime.errors import RealtimeError
from perflab.realtime.outbox import DEFAULT_LIMIT

Authenticate: TypeAlias = Callable[[str | None], Awaitable[str | None]]
"""The user (an id in text) of a bearer token, or of its absence; None refuses the connection."""


class HubSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one hub.

    Raises:
        RealtimeError: a field has no usable value.
    """

    max_connections: int = 1_000
    """One more is refused before the handshake: 503 and Retry-After."""
    retry_after_s: int = 2
    heartbeat_s: float = 30.0
    """Between two pings of a connection."""
    timeout_s: float = 10.0
    """For the answer to a ping; without one the connection is cut off."""
    open_s: float = 5.0
    """In which a handshake must be over."""
    max_handshakes: int = 1_000
    """Sockets whose handshake is not over, beside the connections; one more is closed at once."""
    batch_interval_s: float = DEFAULT_INTERVAL_S
    """The longest that a normal message waits for others; 0 sends each at once."""
    batch_most: int = DEFAULT_MOST
    """Normal messages of a channel that are not kept waiting any longer."""
    queue_limit: int = DEFAULT_LIMIT
    """Messages that wait for a slow connection before the oldest normal ones are dropped."""
    stall_s: float = 10.0
    """How long a connection may take nothing of what waits for it."""
    channels_a_connection: int = 100
    most_bytes: int = 64 * 1024
    """Of a request."""
    most_faults: int = 10
    """Malformed requests after which a connection is closed."""
    most_refusals: int = 100
    """Requests beyond the rate limit after which a connection is closed."""
    policy: Policy = REALTIME
    """What one connection may request."""

    def __post_init__(self) -> None:
        for field in (
            "max_connections", "max_handshakes", "retry_after_s", "batch_most", "queue_limit",
            "channels_a_connection", "most_bytes", "most_faults", "most_refusals",
        ):  # fmt: skip
            check_whole(field, getattr(self, field), RealtimeError)
        for field in ("heartbeat_s", "timeout_s", "open_s", "stall_s"):
            check_seconds(field, getattr(self, field), RealtimeError)
        check_seconds("batch_interval_s", self.batch_interval_s, RealtimeError, zero=True)
        check_kind("policy", self.policy, Policy, RealtimeError)
