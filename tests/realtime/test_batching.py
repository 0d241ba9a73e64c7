"""Batches: no message waits longer than the interval, none changes its place in its channel."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.realtime import RealtimeError
from perflab.realtime.batching import MOST_BYTES, Batch, Batches

arrivals = st.lists(st.tuples(st.floats(0, 0.04), st.integers(1, 3)), min_size=1, max_size=80)


@given(arrivals, st.integers(1, 8), st.sampled_from([0.0, 0.05, 0.1]))
def test_no_message_waits_longer_than_the_interval_and_order_is_kept(
    arrivals: list[tuple[float, int]], most: int, interval_s: float
) -> None:
    batches = Batches(interval_s=interval_s, most=most)
    now = 0.0
    arrived: dict[bytes, float] = {}
    sent: dict[int, list[bytes]] = defaultdict(list)

    def take(batch: Batch, at: float) -> None:
        entries = [batch.payload[start : start + 4] for start in range(0, len(batch.payload), 4)]
        assert len(entries) == batch.messages <= most
        for entry in entries:
            assert at - arrived[entry] <= interval_s + 1e-9
        sent[batch.number] += entries

    def flush_until(then: float) -> None:
        while batches.due_at is not None and batches.due_at <= then:
            due_at = batches.due_at
            for batch in batches.flush():
                take(batch, due_at)
            assert batches.due_at is None

    published: dict[int, list[bytes]] = defaultdict(list)
    for count, (gap_s, number) in enumerate(arrivals):
        now += gap_s
        flush_until(now)
        entry = b"%04d" % count
        arrived[entry] = now
        published[number].append(entry)
        batch = batches.add(number, entry, now)
        if batch is not None:
            take(batch, now)
    flush_until(math.inf)
    assert sent == published


def test_one_deadline_serves_all_channels() -> None:
    batches = Batches(interval_s=0.05, most=50)
    batches.add(1, b"a", 10.0)
    batches.add(2, b"b", 10.04)
    batches.add(1, b"c", 10.045)
    assert batches.due_at == 10.05
    assert batches.flush() == [Batch(1, 2, b"ac"), Batch(2, 1, b"b")]


def test_a_full_batch_does_not_wait_and_leaves_no_deadline_behind() -> None:
    batches = Batches(interval_s=0.05, most=2)
    assert batches.add(1, b"a", 0.0) is None
    assert batches.add(1, b"b", 0.0) == Batch(1, 2, b"ab")
    assert batches.due_at is None


def test_what_waits_of_one_channel_can_be_taken_before_its_time() -> None:
    batches = Batches(interval_s=0.05, most=50)
    batches.add(1, b"a", 0.0)
    batches.add(2, b"b", 0.01)
    assert batches.take(1) == Batch(1, 1, b"a")
    assert batches.take(1) is None
    assert batches.due_at == 0.05
    assert batches.flush() == [Batch(2, 1, b"b")]


def test_large_messages_do_not_wait_for_fifty() -> None:
    batches = Batches(interval_s=0.05, most=50)
    half = b"x" * (MOST_BYTES // 2)
    assert batches.add(1, half, 0.0) is None
    batch = batches.add(1, half, 0.0)
    assert batch is not None
    assert batch.messages == 2
    for _ in range(2):  # the count of bytes begins anew after either way out
        assert batches.add(1, half, 0.0) is None
        batches.flush()


@pytest.mark.parametrize("options", [{"interval_s": -1.0}, {"most": 0}])
def test_settings_without_a_usable_value_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(RealtimeError):
        Batches(**options)
