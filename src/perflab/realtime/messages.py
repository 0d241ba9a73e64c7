"""Channels, lanes, messages and positions: what every part of real time speaks of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from perflab.realtime.errors import RealtimeError

Lane = Literal["critical", "normal"]
LANES: Final[tuple[Lane, ...]] = get_args(Lane)
LARGEST_MESSAGE_BYTES: Final = 32 * 1024

CHANNEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_check_json: Final = msgspec.json.Decoder(msgspec.Raw).decode
_POSITION: Final = re.compile(r"([0-9a-f]{1,32})\.([0-9]{1,16})\.([0-9]{1,16})")


class Message(NamedTuple):
    """One message of a channel."""

    channel: str
    lane: Lane
    offset: int
    """From 1, without gaps, within a channel's lane and epoch."""
    data: bytes
    """One JSON value in UTF-8."""


class Position(NamedTuple):
    """How far a channel has been seen; offset 0 of a lane is before its first message.

    Each lane counts for itself, since critical messages overtake normal ones.
    """

    epoch: str
    """Changes whenever the offsets begin anew, as after a restart of Redis."""
    critical: int
    normal: int

    def of(self, lane: Lane) -> int:
        """The offset of a lane."""
        return self.critical if lane == "critical" else self.normal

    def moved(self, lane: Lane, offset: int) -> Position:
        """With another offset in a lane."""
        if lane == "critical":
            return self._replace(critical=offset)
        return self._replace(normal=offset)

    def text(self) -> str:
        """In one word, as a query string carries it."""
        return f"{self.epoch}.{self.critical}.{self.normal}"


class History(NamedTuple):
    """What a channel holds after a position."""

    position: Position
    """Of the newest messages; who has all of ``messages`` continues here."""
    recovered: bool
    """Whether ``messages`` is all that was published after the position asked for; never in part.
    True where no position was asked for."""
    messages: Sequence[Message]
    """In order within each lane; none where not recovered."""


def position_of(text: str) -> Position:
    """The position that ``text`` wrote; a RealtimeError if it is none."""
    found = _POSITION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise RealtimeError(f"{str(text)[:60]!r} is no position; give the one that was handed out")
    return Position(found[1], int(found[2]), int(found[3]))


def check_lane(lane: Lane) -> Lane:
    """The lane itself; a RealtimeError if it is none."""
    if lane not in LANES:
        raise RealtimeError(f"lane {lane!r}: must be one of {', '.join(LANES)}")
    return lane


def check_message(data: bytes) -> bytes:
    """The message itself; a RealtimeError if it is too large, or not one JSON value in UTF-8."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise RealtimeError(f"a message is JSON in bytes, not {type(data).__name__}")
    if len(data) > LARGEST_MESSAGE_BYTES:
        raise RealtimeError(
            f"a message has at most {LARGEST_MESSAGE_BYTES} bytes, and this one {len(data)}"
        )
    try:
        _check_json(str(data, "utf-8"))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RealtimeError(f"a message is one JSON value in UTF-8: {error}") from None
    return data


def check_position(after: Position | None) -> Position | None:
    """The position itself, or None; a RealtimeError if it is of another type."""
    if after is not None and not isinstance(after, Position):
        raise RealtimeError(
            f"after must be a Position, not {type(after).__name__}; position_of makes one of text"
        )
    return after


def check_channel(name: str) -> str:
    """The name itself; a RealtimeError if no channel can be called so."""
    if not isinstance(name, str):
        raise RealtimeError(f"a channel's name must be a text, not {type(name).__name__}")
    if not CHANNEL_NAME.fullmatch(name):
        raise RealtimeError(
            f"channel {name[:40]!r}: a name has 1 to 100 of A-Z, a-z, 0-9, '_', '.', ':' and '-',"
            " a letter or digit first"
        )
    return name
