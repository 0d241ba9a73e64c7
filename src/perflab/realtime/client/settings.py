"""How a client behaves, typed and checked."""

from __future__ import annotations

import msgspec

from perflab.arguments import check_flag, check_seconds, check_whole
from perflab.realtime.backoff import (
    DEFAULT_ATTEMPTS,
    DEFAULT_BASE_S,
    DEFAULT_CAP_S,
    DEFAULT_STABLE_S,
)
from perflab.realtime.errors import RealtimeError
from perflab.realtime.polls import LONGEST_WAIT_S


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a client.

    Raises:
        RealtimeError: a field has no usable value.
    """

    connect_timeout_s: float = 2.0
    """For the connection and its handshake."""
    reply_timeout_s: float = 10.0
    """For a subscription or publication to be answered, reconnecting included."""
    attempts: int = DEFAULT_ATTEMPTS
    """To connect, before the client polls instead, or fails."""
    backoff_base_s: float = DEFAULT_BASE_S
    backoff_cap_s: float = DEFAULT_CAP_S
    jitter: bool = True
    """Off only to see what it is good for."""
    stable_s: float = DEFAULT_STABLE_S
    """How long a connection must last before the attempts are counted anew."""
    upgrade_s: float = 5.0
    """While polling: the longest time between two attempts to connect again."""
    poll_wait_s: int = 20
    """How long one poll waits for a message; at most 30."""
    send_queue: int = 1_000
    """Publications that may wait for a connection."""
    receive_queue: int = 1_000
    """Messages that a subscription holds for an ``async for`` that does not keep up; beyond that
    the client stops reading, and the hub drops for it."""

    def __post_init__(self) -> None:
        for field in (
            "connect_timeout_s", "reply_timeout_s", "backoff_base_s", "backoff_cap_s", "stable_s",
            "upgrade_s",
        ):  # fmt: skip
            check_seconds(field, getattr(self, field), RealtimeError)
        for field in ("attempts", "send_queue", "receive_queue"):
            check_whole(field, getattr(self, field), RealtimeError)
        check_whole("poll_wait_s", self.poll_wait_s, RealtimeError, most=LONGEST_WAIT_S)
        check_flag("jitter", self.jitter, RealtimeError)
