"""WebSocket scenarios as they are written: typed TOML, a sibling of the HTTP ones."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from perflab.load.scenarios.file import Open, Seconds
from perflab.realtime.messages import LARGEST_MESSAGE_BYTES, Lane

KIND: Final = "websocket"
Count = Annotated[int, Meta(ge=1, le=50_000)]


class SocketFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Connections that each listen to a channel, and messages that come into these."""

    kind: Literal["websocket"]
    title: str
    target: str = ""
    """The hubs' addresses, ``ws://…``, with commas between; ``--target`` comes before it."""
    connections: Count
    opening_at_once: Count = 50
    """Handshakes that are under way at one time."""
    channels: Count = 1
    """Connection n listens to channel n modulo their number."""
    channel: str = "load"
    """What the channels' names begin with."""
    lane: Lane = "normal"
    message_bytes: Annotated[int, Meta(ge=16, le=LARGEST_MESSAGE_BYTES)] = 200
    duration_s: Seconds
    timeout_s: Seconds = 10.0
    """Of a handshake, of a publication, and of the last deliveries."""
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 42
    token: str = ""
    """What a connection shows to the hub; ``${feeder.column}`` and ``${user}`` stand for values."""
    thresholds: list[str] = []
    abort: list[str] = []
    """Conditions that end the run early."""
    arrival: Open
    """Of messages, of all channels together."""
    feeder: dict[str, dict[str, Any]] = {}
    """Each a ``Feeder``; a connection is a user, and takes one row of each."""
