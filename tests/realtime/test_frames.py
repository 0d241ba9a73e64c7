"""Frames: what is encoded is read back, and nothing else is taken for a frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from perflab.realtime.frames import (
    PING,
    Delivery,
    FrameError,
    control_entry,
    entries,
    message_entry,
    server_frame,
)
from perflab.realtime.messages import LANES

deliveries = st.builds(
    Delivery,
    number=st.integers(0, 2**32 - 1),
    lane=st.sampled_from(LANES),
    offset=st.integers(0, 2**64 - 1),
    data=st.binary(max_size=300),
)


def encoded(entry: Delivery | bytes) -> bytes:
    return control_entry(entry) if isinstance(entry, bytes) else message_entry(*entry)


@given(st.lists(deliveries | st.binary(max_size=50), max_size=8))
def test_a_frame_holds_its_entries_in_order(given: list[Delivery | bytes]) -> None:
    assert list(entries(b"".join(map(encoded, given)))) == given


@given(st.lists(deliveries, min_size=1, max_size=4), st.data())
def test_a_frame_cut_anywhere_but_between_entries_is_refused(
    given: list[Delivery], data: st.DataObject
) -> None:
    parts = [encoded(one) for one in given]
    frame = b"".join(parts)
    seams = {sum(map(len, parts[:count])) for count in range(len(parts) + 1)}
    cut = data.draw(st.integers(1, len(frame) - 1).filter(lambda at: at not in seams))
    with pytest.raises(FrameError):
        list(entries(frame[:cut]))


@given(st.binary(max_size=200))
def test_any_bytes_are_entries_or_refused(frame: bytes) -> None:
    try:
        found = list(entries(frame))
    except FrameError:
        return
    assert b"".join(map(encoded, found)) == frame


def test_a_message_too_short_for_its_place_does_not_read_on_into_the_next() -> None:
    short = b"\x00\x00\x00\x05\x01\x00\x00\x00\x01"
    with pytest.raises(FrameError, match="kind 1"):
        list(entries(short + message_entry(1, "normal", 1, b"x")))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_a_servers_frame_is_what_the_websocket_library_reads(size: int) -> None:
    payload = b"x" * size
    for raw, opcode, data in (
        (server_frame(payload), Opcode.BINARY, payload),
        (PING, Opcode.PING, b""),
    ):
        reader = StreamReader()
        reader.feed_data(raw)
        parsing = Frame.parse(reader.read_exact, mask=False)
        with pytest.raises(StopIteration) as ended:
            next(parsing)
        frame = ended.value.value
        assert (frame.opcode, bytes(frame.data), frame.fin) == (opcode, data, True)
        assert not reader.buffer, "nothing is left over"
