"""What client and hub say to each other beside messages: JSON, typed.

A client sends one request a text frame; whatever is wrong with it is answered by ``Refused``.
A hub sends control values as entries of its binary frames.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from perflab.realtime.frames import control_entry
from perflab.realtime.messages import Lane

SUBPROTOCOL: Final = "perflab.realtime.1"
"""The subprotocol of WebSockets (RFC 6455 §1.9)."""

RequestId = Annotated[int, Meta(ge=0, le=2**53)]


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe", forbid_unknown_fields=True):
    """Send me a channel, from a position on or from now."""

    id: RequestId
    channel: str
    after: str | None = None


class Unsubscribe(msgspec.Struct, frozen=True, tag="unsubscribe", forbid_unknown_fields=True):
    """Send me no more of a channel."""

    id: RequestId
    channel: str


class Publish(msgspec.Struct, frozen=True, tag="publish", forbid_unknown_fields=True):
    """Append a message to a channel."""

    id: RequestId
    channel: str
    data: msgspec.Raw
    lane: Lane = "normal"


Request: TypeAlias = Subscribe | Unsubscribe | Publish


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """The first thing said: the hub pings this often; silence for longer means it is gone."""

    heartbeat_s: float
    timeout_s: float
    load: float
    """The share of the hub's connections that are taken."""


class Subscribed(msgspec.Struct, frozen=True, tag="subscribed"):
    """Messages after ``position`` follow, those of the past first."""

    id: int
    channel: str
    number: int
    position: str
    recovered: bool
    """Whether nothing is missing after the position asked for."""


class Unsubscribed(msgspec.Struct, frozen=True, tag="unsubscribed"):
    """No message of the channel follows."""

    id: int
    channel: str


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """A publication is in the log."""

    id: int
    epoch: str
    offset: int


Reason: TypeAlias = Literal[
    "malformed", "channel", "forbidden", "too_large", "too_many", "rate_limited", "unavailable"
]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """A request was not carried out; -1 where it could not even be read."""

    id: int
    reason: Reason
    detail: str
    retry_after_s: float = 0.0


class Dropped(msgspec.Struct, frozen=True, tag="dropped"):
    """This client was too slow: as many normal messages of the channel were left out."""

    number: int
    messages: int


class Gap(msgspec.Struct, frozen=True, tag="gap"):
    """The hub itself lost track of the channel, as after a restart of Redis: not recovered."""

    number: int
    position: str


class Draining(msgspec.Struct, frozen=True, tag="draining"):
    """This hub shuts down: go to another one, at best before it closes."""

    within_s: float


Control: TypeAlias = (
    Welcome | Subscribed | Unsubscribed | Accepted | Refused | Dropped | Gap | Draining
)

_encode: Final = msgspec.json.Encoder().encode
decode_request: Final = msgspec.json.Decoder(Request).decode
decode_control: Final = msgspec.json.Decoder(Control).decode
encode_request: Final = _encode


def control(value: Control) -> bytes:
    """The entry of a control value."""
    return control_entry(_encode(value))
