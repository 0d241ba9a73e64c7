"""A channel heard through a connection that loses, joined with a bounded log: exactly once."""

from __future__ import annotations

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from perflab.realtime.continuity import Continuity, Heard
from perflab.realtime.messages import LANES, History, Lane, Message, Position
from perflab.realtime.resume import MOST_BYTES, Join

lanes = st.sampled_from(LANES)


class Log:
    """A channel's log in memory, the model of the one in Redis."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._number = 0
        self.begin_anew()

    def begin_anew(self) -> None:
        self._number += 1
        self.position = Position(f"{self._number:x}", 0, 0)
        self.messages: list[Message] = []

    def publish(self, lane: Lane) -> Heard:
        offset = self.position.of(lane) + 1
        self.position = self.position.moved(lane, offset)
        message = Message("news", lane, offset, f"{self.position.epoch}-{lane}-{offset}".encode())
        self.messages.append(message)
        return Heard(self.position.epoch, message)

    def read(self, after: Position | None) -> History:
        if after is None:
            return History(self.position, True, ())
        if after.epoch != self.position.epoch:
            return History(self.position, False, ())
        found: list[Message] = []
        for lane in LANES:
            kept = [one for one in self.messages if one.lane == lane][-self._size :]
            newer = [one for one in kept if one.offset > after.of(lane)]
            if len(newer) != self.position.of(lane) - after.of(lane):
                return History(self.position, False, ())
            found += newer
        return History(self.position, True, found)


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("publish"), lanes, st.sampled_from(["heard", "twice", "missed", "unnoticed"])
        ),
        st.tuples(st.sampled_from(["read", "answer", "lost", "epoch"])),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(steps, st.integers(1, 6))
def test_everything_after_the_start_is_passed_on_once_in_order_or_a_gap_is_announced(
    plan: list[tuple[str, ...]], size: int
) -> None:
    log, continuity = Log(size), Continuity()
    in_flight: History | None = None
    passed: list[Message] = []
    restarts = [0]
    """Where in ``passed`` something begins anew: the start, and each announced gap."""
    positions: list[Position] = []

    def answer(history: History) -> None:
        complete, messages = continuity.caught_up(history)
        if not complete:
            restarts.append(len(passed))
        if not complete or not positions:
            positions.append(history.position)
        passed.extend(messages)

    for step in plan:
        match step:
            case ("publish", lane, how):
                told = log.publish("critical" if lane == "critical" else "normal")
                for _ in range({"heard": 1, "twice": 2}.get(how, 0)):
                    passed += continuity.heard(told)
                if how == "missed":
                    continuity.lost()
            case ("lost",):
                continuity.lost()
            case ("epoch",):
                log.begin_anew()
                continuity.lost()
            case ("read",):
                in_flight = log.read(continuity.asks()) if continuity.behind else in_flight
            case ("answer",) if in_flight is not None and continuity.behind:
                answer(in_flight)
                in_flight = None
    continuity.lost()  # nothing tells of a loss after the last message but the connection
    rounds = 0
    while continuity.behind:
        answer(log.read(continuity.asks()))
        rounds += 1
        assert rounds < 5, "reading the log must come to an end"

    assert continuity.position == log.position
    event(f"{min(3, continuity.gaps)} gaps")
    assert len(positions) == len(restarts) == continuity.gaps + 1
    for start, end, position in zip(restarts, [*restarts[1:], None], positions, strict=True):
        for lane in LANES:
            part = [one for one in passed[start:end] if one.lane == lane]
            expected = range(position.of(lane) + 1, position.of(lane) + 1 + len(part))
            assert [one.offset for one in part] == list(expected)
            assert {one.data.split(b"-")[0].decode() for one in part} <= {position.epoch}
    last = positions[-1]
    assert last.epoch == log.position.epoch
    for lane in LANES:
        part = [one for one in passed[restarts[-1] :] if one.lane == lane]
        assert len(part) == log.position.of(lane) - last.of(lane), "all of it"


def test_an_epoch_that_began_while_the_log_was_read_is_announced() -> None:
    log, continuity = Log(5), Continuity()
    continuity.caught_up(log.read(continuity.asks()))
    continuity.lost()
    history = log.read(continuity.asks())
    log.begin_anew()
    assert continuity.heard(log.publish("normal")) == ()
    assert continuity.caught_up(history) == (True, [])
    assert continuity.behind, "what was heard is of another epoch than what was read"
    complete, passed = continuity.caught_up(log.read(continuity.asks()))
    assert (complete, passed, continuity.behind) == (False, [], False)
    assert continuity.position == log.position


def test_what_was_lost_while_the_log_was_read_is_read_again() -> None:
    log, continuity = Log(5), Continuity()
    history = log.read(continuity.asks())
    log.publish("normal")
    continuity.lost()
    continuity.caught_up(history)
    assert continuity.behind
    complete, passed = continuity.caught_up(log.read(continuity.asks()))
    assert (complete, [one.offset for one in passed], continuity.behind) == (True, [1], False)


def test_what_was_heard_of_an_epoch_before_the_one_read_is_over() -> None:
    log, continuity = Log(5), Continuity()
    continuity.caught_up(log.read(continuity.asks()))
    continuity.lost()
    continuity.heard(log.publish("normal"))
    log.begin_anew()
    assert continuity.caught_up(log.read(continuity.asks())) == (False, [])
    assert not continuity.behind


@settings(max_examples=300, deadline=None)
@given(
    before=st.lists(lanes, max_size=12),
    seen=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    hub_at=st.integers(0, 12),
    read_at=st.integers(0, 12),
    size=st.integers(1, 12),
)
def test_a_resume_hands_out_what_was_missed_up_to_where_the_hub_is_or_nothing(
    before: list[Lane], seen: tuple[int, int], hub_at: int, read_at: int, size: int
) -> None:
    """The hub passes on up to ``hub_at`` while the log is read at ``read_at``, in either order."""
    log = Log(size)
    start = log.position
    told = [log.publish(lane).message for lane in before]
    after = start._replace(
        critical=min(seen[0], log.position.critical), normal=min(seen[1], log.position.normal)
    )

    def position_at(count: int) -> Position:
        done = told[:count]
        return start._replace(
            critical=sum(one.lane == "critical" for one in done),
            normal=sum(one.lane == "normal" for one in done),
        )

    log.position, log.messages = position_at(read_at), told[:read_at]
    history = log.read(after)
    join = Join(after)
    for message in told[min(read_at, hub_at) : hub_at]:
        join.passed(message)
    upto = position_at(hub_at)
    missed = join.missed(history, upto)
    event("recovered" if missed is not None else "not recovered")
    if missed is None:
        assert not history.recovered, "what the log had and the hub passed on is all there is"
        return
    for lane in LANES:
        offsets = [one.offset for one in missed if one.lane == lane]
        assert offsets == list(range(after.of(lane) + 1, upto.of(lane) + 1))


def test_a_resume_across_epochs_is_none() -> None:
    old, new = Position("a", 0, 1), Position("b", 0, 3)
    assert Join(old).missed(History(new, False, ()), new) is None
    assert Join(old).missed(History(old, True, ()), new) is None, "the hub is elsewhere"


@pytest.mark.parametrize(("size", "whole"), [(MOST_BYTES, True), (MOST_BYTES + 1, False)])
def test_a_resume_has_a_largest_size(size: int, whole: bool) -> None:
    message = Message("news", "normal", 1, b"x" * size)
    start, end = Position("a", 0, 0), Position("a", 0, 1)
    missed = Join(start).missed(History(end, True, [message]), end)
    assert missed == ([message] if whole else None)
