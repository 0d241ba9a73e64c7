"""The queue of a slow connection: bounded, honest about what it drops, critical first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perflab.realtime.batching import Batch
from perflab.realtime.frames import Delivery, entries, message_entry
from perflab.realtime.messages import Lane
from perflab.realtime.outbox import Outbox
from perflab.realtime.protocol import Dropped, decode_control


def batch(number: int, lane: Lane, first: int, count: int) -> Batch:
    payload = b"".join(
        message_entry(number, lane, offset, b"x") for offset in range(first, first + count)
    )
    return Batch(number, count, payload)


class Reader:
    """What a client makes of the frames: offsets by channel and lane, and what it was told."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, Lane], list[int]] = {}
        self.told: dict[int, int] = {}
        self.kinds: list[str] = []

    def read(self, frame: bytes) -> None:
        for entry in entries(frame):
            if isinstance(entry, Delivery):
                self.kinds.append(entry.lane)
                offsets = self.seen.setdefault((entry.number, entry.lane), [])
                if entry.lane == "normal":
                    # before anything newer of a channel comes, it was told what is missing
                    missing = entry.offset - 1 - len(offsets)
                    assert missing == self.told.get(entry.number, 0)
                offsets.append(entry.offset)
            else:
                dropped = decode_control(entry)
                assert isinstance(dropped, Dropped)
                self.told[dropped.number] = self.told.get(dropped.number, 0) + dropped.messages


steps = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["critical", "normal", "normal", "normal"]),
            st.integers(1, 3),
            st.integers(1, 5),
        ),
        st.just(None),
    ),
    max_size=60,
)


@given(steps, st.integers(5, 30), st.integers(1, 2_000))
def test_order_is_kept_and_every_message_is_sent_or_told(
    plan: list[tuple[Lane, int, int] | None], limit: int, most_bytes: int
) -> None:
    outbox, reader = Outbox(limit), Reader()
    pushed: dict[tuple[int, Lane], int] = {}
    fits = True
    for step in plan:
        if step is None:
            reader.read(outbox.take(most_bytes))
            continue
        lane, number, count = step
        first = pushed.get((number, lane), 0) + 1
        pushed[number, lane] = first + count - 1
        fits = outbox.push(batch(number, lane, first, count), critical=lane == "critical")
        if not fits:
            break
        assert outbox.messages <= limit
    if not fits:
        assert outbox.messages > limit, "nothing but critical messages was left"
    while outbox:
        reader.read(outbox.take(most_bytes))
    for (number, lane), last in pushed.items():
        seen = reader.seen.get((number, lane), [])
        assert seen == sorted(set(seen))
        if lane == "critical":
            assert seen == list(range(1, last + 1)), "never dropped"
        else:
            assert len(seen) + reader.told.get(number, 0) == last
    assert sum(reader.told.values()) == outbox.dropped


def test_the_critical_lane_leaves_first() -> None:
    outbox, reader = Outbox(10), Reader()
    outbox.push(batch(1, "normal", 1, 2), critical=False)
    outbox.push(batch(1, "critical", 1, 1), critical=True)
    reader.read(outbox.take())
    assert reader.kinds == ["critical", "normal", "normal"]


def test_critical_messages_that_do_not_fit_are_refused_not_dropped() -> None:
    outbox = Outbox(3)
    assert outbox.push(batch(1, "normal", 1, 2), critical=False)
    assert outbox.push(batch(1, "critical", 1, 3), critical=True), "the normal lane made room"
    assert outbox.dropped == 2
    assert not outbox.push(batch(1, "critical", 4, 1), critical=True)


def test_nothing_of_a_channel_is_sent_after_it_was_forgotten() -> None:
    outbox, reader = Outbox(3), Reader()
    outbox.push(batch(1, "normal", 1, 2), critical=False)
    outbox.push(batch(2, "normal", 1, 1), critical=False)
    outbox.push(batch(1, "normal", 3, 1), critical=False)
    outbox.forget(1)
    assert outbox.messages == 1
    reader.read(outbox.take())
    assert reader.seen == {(2, "normal"): [1]}
    assert reader.told == {}
    assert not outbox
