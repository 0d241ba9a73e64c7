"""What a hub sends: binary frames of length-prefixed entries, each encoded once for everybody.

A frame is a sequence of entries; numbers are big-endian:

- a message: its length (u32), ``1`` for the normal lane or ``2`` for the critical one (u8), the
  channel's number (u32), the offset (u64), the data;
- control: its length (u32), ``0`` (u8), a JSON value of ``protocol``.

A length counts what follows it. A client that reads a frame in pieces never needs more than one
entry at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from perflab.realtime.errors import RealtimeError
from perflab.realtime.messages import Lane

LARGEST_FRAME_BYTES: Final = 1 << 20

CONTROL: Final = 0
_KINDS: Final[dict[Lane, int]] = {"normal": 1, "critical": 2}
_LANES: Final[dict[int, Lane]] = {number: lane for lane, number in _KINDS.items()}
LENGTH_BYTES: Final = 4
"""Of an entry's length, which counts what follows."""
HEAD: Final = struct.Struct("!IB")
"""Of any entry."""
MESSAGE: Final = struct.Struct("!IBIQ")
"""Of a message, before its data."""
_PLACE: Final = struct.Struct("!IQ")
_KIND_BYTES: Final = 1

_BINARY: Final = 0x82
"""FIN and the opcode of binary frames (RFC 6455 §5.2)."""
PING: Final = b"\x89\x00"
"""A ping without payload, as a server sends it (RFC 6455 §5.5.2)."""


class FrameError(RealtimeError):
    """A frame that no hub sends."""


class Delivery(NamedTuple):
    """A message as it travels."""

    number: int
    """Of the channel on this connection's hub."""
    lane: Lane
    offset: int
    data: bytes


def message_entry(number: int, lane: Lane, offset: int, data: bytes) -> bytes:
    """A message, encoded."""
    length = _KIND_BYTES + _PLACE.size + len(data)
    return MESSAGE.pack(length, _KINDS[lane], number, offset) + data


def control_entry(value: bytes) -> bytes:
    """A control value, which is JSON already."""
    return HEAD.pack(_KIND_BYTES + len(value), CONTROL) + value


def entries(frame: bytes) -> Iterator[Delivery | bytes]:
    """The messages and control values of a frame, in order; a FrameError where it is malformed."""
    at, end = 0, len(frame)
    while at < end:
        if end - at < HEAD.size:
            raise FrameError("a frame ends within an entry")
        length, kind = HEAD.unpack_from(frame, at)
        begin, at = at + HEAD.size, at + LENGTH_BYTES + length
        if at > end or length < _KIND_BYTES:
            raise FrameError("an entry is longer than its frame, or empty")
        if kind == CONTROL:
            yield frame[begin:at]
        elif kind in _LANES and at - begin >= _PLACE.size:
            number, offset = _PLACE.unpack_from(frame, begin)
            yield Delivery(number, _LANES[kind], offset, frame[begin + _PLACE.size : at])
        else:
            raise FrameError(f"an entry of kind {kind} with {length} bytes is none")


def server_frame(payload: bytes) -> bytes:
    """A whole binary WebSocket frame from a server: unmasked, so the same for every client."""
    length = len(payload)
    if length < 126:
        return bytes((_BINARY, length)) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", _BINARY, 126, length) + payload
    return struct.pack("!BBQ", _BINARY, 127, length) + payload
