"""Pings, backoff and the choice of an endpoint, each on a clock and a seed of the test's own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.realtime import RealtimeError
from perflab.realtime.backoff import Backoff
from perflab.realtime.cursor import Cursor
from perflab.realtime.endpoints import LONGEST_PENALTY_S, Endpoints
from perflab.realtime.heartbeat import PingWheel
from perflab.realtime.messages import LANES, Lane, Position


class Peer:
    def __init__(self, name: int) -> None:
        self.name = name
        self.seen_at = 0.0
        self.silent_from = float("inf")
        self.pings: list[float] = []
        self.dead_at: float | None = None


@settings(deadline=None)
@given(
    heartbeat_s=st.sampled_from([1.0, 5.0, 30.0]),
    timeout_share=st.sampled_from([0.2, 0.5, 1.0]),
    silent=st.lists(st.none() | st.floats(0, 3), min_size=1, max_size=40),
)
def test_silence_is_found_within_heartbeat_and_timeout_and_answers_are_never_taken_for_it(
    heartbeat_s: float, timeout_share: float, silent: list[float | None]
) -> None:
    """Peers answer every ping at once, up to a time from which on they are silent."""
    timeout_s = heartbeat_s * timeout_share
    wheel: PingWheel[Peer] = PingWheel(heartbeat_s=heartbeat_s, timeout_s=timeout_s)
    peers = [Peer(number) for number in range(len(silent))]
    for peer, when in zip(peers, silent, strict=True):
        peer.silent_from = float("inf") if when is None else when * heartbeat_s
        wheel.add(peer)
    for tick in itertools.count(1):
        now = tick * wheel.tick_s
        if now > 6 * heartbeat_s:
            break
        due, dead = wheel.tick(now)
        for peer in due:
            peer.pings.append(now)
            if now < peer.silent_from:
                peer.seen_at = now
        for peer in dead:
            peer.dead_at = now
    for peer in peers:
        if peer.silent_from == float("inf"):
            assert peer.dead_at is None
            gaps = np.diff([0.0, *peer.pings])
            assert max(gaps) <= heartbeat_s + 2 * wheel.tick_s
        else:
            assert peer.dead_at is not None
            assert peer.dead_at - peer.silent_from <= heartbeat_s + timeout_s + 2 * wheel.tick_s
    assert len(wheel) == sum(peer.dead_at is None for peer in peers)


def test_pings_are_spread_over_the_heartbeat() -> None:
    wheel: PingWheel[Peer] = PingWheel(heartbeat_s=30.0, timeout_s=10.0)
    for number in range(1_000):
        wheel.add(Peer(number))
    due = [len(wheel.tick(tick * wheel.tick_s)[0]) for tick in range(12)]
    assert sum(due) == 1_000
    assert max(due) <= -(-1_000 // 12)


def test_a_removed_connection_is_neither_pinged_nor_found_dead() -> None:
    wheel: PingWheel[Peer] = PingWheel(heartbeat_s=1.0, timeout_s=1.0)
    peer = Peer(1)
    wheel.add(peer)
    while not wheel.tick(1.0)[0]:
        pass
    wheel.remove(peer)
    wheel.remove(peer)
    assert all(wheel.tick(9.0) == ([], []) for _ in range(20))


@pytest.mark.parametrize(("heartbeat_s", "timeout_s"), [(1.0, 0.0), (1.0, 2.0)])
def test_a_timeout_beyond_the_heartbeat_is_refused(heartbeat_s: float, timeout_s: float) -> None:
    with pytest.raises(RealtimeError, match="timeout_s"):
        PingWheel(heartbeat_s=heartbeat_s, timeout_s=timeout_s)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.integers(0, 1_000))
def test_five_attempts_wait_at_most_their_caps_together(seed: int) -> None:
    backoff = Backoff(rng(seed))
    delays = [backoff.next_delay() for _ in range(5)]
    for delay, longest in zip(delays, (0.1, 0.2, 0.4, 0.8, 1.6), strict=True):
        assert delay is not None
        assert 0 <= delay <= longest
    assert backoff.next_delay() is None


def test_the_jitter_is_full() -> None:
    """Five attempts take 1.55 s on average: half of the longest (base 0.1 s, cap 2 s)."""
    totals = []
    for seed in range(2_000):
        backoff = Backoff(rng(seed))
        totals.append(sum(backoff.next_delay() or 0.0 for _ in range(5)))
    # the standard error is 0.012
    assert np.mean(totals) == pytest.approx(1.55, abs=0.06)
    assert max(totals) <= 3.1


def test_the_cap_holds_and_without_jitter_every_delay_is_the_longest() -> None:
    backoff = Backoff(rng(), attempts=8, jitter=False)
    delays = [backoff.next_delay() for _ in range(8)]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])


def test_only_a_connection_that_lasted_resets_the_attempts() -> None:
    backoff = Backoff(rng(), stable_s=5.0)
    for start in range(5):
        assert backoff.next_delay() is not None
        backoff.connected(float(start))
        backoff.lost(start + 4.9)
    assert backoff.next_delay() is None, "accepted and closed at once, five times"
    backoff.connected(100.0)
    backoff.lost(105.0)
    assert backoff.next_delay() is not None


URLS = [f"ws://hub-{number}" for number in range(4)]


def test_two_draws_leave_the_fullest_alone_and_herd_nobody() -> None:
    endpoints = Endpoints(URLS, rng())
    for url, load in zip(URLS, (0.9, 0.5, 0.4, 0.1), strict=True):
        endpoints.connected(url, load)
    chosen = [endpoints.choose(0.0) for _ in range(6_000)]
    shares = [chosen.count(url) / len(chosen) for url in URLS]
    # of the six pairs it is the better one in none, one, two and three
    assert shares == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6], abs=0.03)


def test_one_that_failed_is_avoided_for_longer_each_time_and_then_tried_again() -> None:
    endpoints = Endpoints(URLS[:2], rng())
    first, second = URLS[:2]
    for failure, penalty_s in enumerate((0.5, 1.0, 2.0)):
        now = 100.0 * failure
        endpoints.failed(first, now)
        assert {endpoints.choose(now + penalty_s * 0.99) for _ in range(40)} == {second}
        assert not _avoided(endpoints, first, now + penalty_s)
    for failure in range(20):
        endpoints.failed(first, 1_000.0 + LONGEST_PENALTY_S * failure)
    now = 1_000.0 + LONGEST_PENALTY_S * 20
    assert {endpoints.choose(now - 1e-3) for _ in range(40)} == {second}
    assert not _avoided(endpoints, first, now)
    endpoints.connected(first, 0.0)
    endpoints.failed(first, 2_000.0)
    assert not _avoided(endpoints, first, 2_000.5), "a connection forgives"


def test_connections_lost_together_are_one_failure_of_their_hub() -> None:
    endpoints = Endpoints(URLS[:2], rng())
    for _ in range(4):
        endpoints.failed(URLS[0], 0.0)
    assert {endpoints.choose(0.49) for _ in range(40)} == {URLS[1]}
    assert not _avoided(endpoints, URLS[0], 0.5)


def _avoided(endpoints: Endpoints, url: str, now: float) -> bool:
    """Whether it is not even tried when the other one is away."""
    other = next(one for one in URLS[:2] if one != url)
    endpoints.failed(other, now, retry_after_s=1e6)
    try:
        return endpoints.choose(now) != url
    finally:
        endpoints.connected(other, 0.0)


def test_who_is_told_to_come_back_later_does() -> None:
    endpoints = Endpoints(URLS[:2], rng())
    for url, retry_after_s in zip(URLS[:2], (60.0, 0.0), strict=True):
        endpoints.failed(url, 0.0, retry_after_s=retry_after_s)
    assert {endpoints.choose(59.0) for _ in range(40)} == {URLS[1]}


def test_when_all_are_avoided_one_is_tried_all_the_same() -> None:
    endpoints = Endpoints(URLS[:2], rng())
    for url in URLS[:2]:
        endpoints.failed(url, 0.0)
    assert {endpoints.choose(0.1) for _ in range(40)} == set(URLS[:2])


@pytest.mark.parametrize("urls", [[], ["http://hub"]])
def test_endpoints_that_are_none_are_refused(urls: list[str]) -> None:
    with pytest.raises(RealtimeError, match="endpoint"):
        Endpoints(urls, rng())


@given(st.lists(st.tuples(st.sampled_from(LANES), st.integers(1, 20))))
def test_a_cursor_takes_every_offset_once_and_only_forward(
    arriving: list[tuple[Lane, int]],
) -> None:
    cursor = Cursor()
    assert not cursor.accepts("normal", 1), "nothing before it was subscribed"
    cursor.starts(Position("a", 0, 0))
    taken: dict[Lane, list[int]] = {lane: [] for lane in LANES}
    for lane, offset in arriving:
        if cursor.accepts(lane, offset):
            taken[lane].append(offset)
    assert cursor.position is not None
    for lane, offsets in taken.items():
        assert offsets == sorted(set(offsets))
        assert cursor.position.of(lane) == max(offsets, default=0)
    assert cursor.duplicates == 1 + len(arriving) - sum(map(len, taken.values()))
    last = sum(max(offsets, default=0) for offsets in taken.values())
    assert cursor.missed == last - sum(map(len, taken.values()))
