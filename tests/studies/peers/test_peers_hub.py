"""The hub section: what is judged, where the lead reaches a figure, and both sides for real."""

from __future__ import annotations

import math

import numpy as np
import pytest

from perflab.measure.statistics import Interval, NotEstimable
from perflab.realtime.frames import server_frame
from perflab.services import Redis
from perflab.studies.peers.contest import ContestError
from perflab.studies.peers.hub import (
    fanout,
    fanout_plot,
    fanout_table,
    judge_fanout,
    saves_text,
)
from perflab.studies.peers.hub.fanout import (
    AGAIN,
    BROADCAST,
    BROADCAST_RATE,
    OURS,
    RATE,
    SWEEP,
    Fanout,
    Visit,
    crossing,
)
from perflab.studies.peers.hub.listeners import frames_of


def visits(per_cpu_s: float, p99_ms: float = 60.0) -> tuple[Visit, ...]:
    return tuple(Visit(1_000_000, 1e6 / per_cpu_s * wobble, p99_ms) for wobble in (0.99, 1, 1.01))


def found(**changes: tuple[Visit, ...]) -> Fanout:
    """A lead of a tenth of the rate of messages."""
    sides = {
        (BROADCAST, BROADCAST_RATE): visits(70_000),
        (OURS, RATE): visits(60 * 70_000),
        (AGAIN, RATE): visits(60 * 70_000),
        **{(OURS, rate): visits(rate / 10 * 70_000) for rate in SWEEP},
    }
    named = {"rival": (BROADCAST, BROADCAST_RATE), "ours": (OURS, RATE), "again": (AGAIN, RATE)}
    return Fanout(sides | {named[name]: given for name, given in changes.items()}, 1_000)


def words(one: Fanout) -> list[str]:
    return [judged.verdict.word for judged in judge_fanout(one)]


def test_the_lead_is_judged_on_deliveries_of_a_cpu_second() -> None:
    assert words(found()) == ["met", "met", "met"]
    slower = visits(15 * 70_000)
    assert words(found(ours=slower, again=slower)) == ["missed", "met", "met"]
    assert words(found(again=visits(30 * 70_000)))[0] == "cannot tell"


def test_a_side_that_is_late_voids_the_lead() -> None:
    assert words(found(rival=visits(70_000, 101.0))) == ["void", "missed", "met"]
    assert words(found(ours=visits(60 * 70_000, 101.0))) == ["void", "met", "missed"]


def test_the_rate_from_which_batching_saves_five_times_is_interpolated() -> None:
    rate = found().rate_of(5.0)
    assert isinstance(rate, Interval)
    assert rate.estimate == pytest.approx(50, rel=0.01)
    assert saves_text(found()).startswith("From 50 [")
    assert crossing([10, 100], [2, 8], 4.0) == pytest.approx(10 * 10 ** (math.log(2) / math.log(4)))
    assert crossing([10, 100], [5, 8], 4.0) is None
    assert crossing([10, 100], [1, 3], 4.0) is None
    assert isinstance(found().rate_of(1.0), NotEstimable)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_frames_are_found_whole_wherever_the_network_cuts_them(size: int) -> None:
    frame = server_frame(b"x" * size)
    data = frame + frame
    assert [end - begin for begin, end in frames_of(data, 0)] == [size, size]
    assert list(frames_of(b"--" + frame, 2)) == [(len(frame) - size + 2, len(frame) + 2)]
    for cut in (1, 2, 3, len(frame) - 1):
        assert list(frames_of(frame[: min(cut, len(frame) - 1)], 0)) == []


def test_all_sides_deliver_everything_once_and_who_misses_something_ends_the_contest(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fanout._sides(redis_server, 60) as sides:
        assert set(sides) == {BROADCAST, OURS, AGAIN}
        for side in sides.values():
            for _ in range(2):
                visit = side.visit(200.0, 0.1)
                assert visit.deliveries == 20 * 60
                assert visit.cpu_s > 0
                assert visit.p99_ms > 0
        monkeypatch.setattr(fanout, "_ARRIVE_S", 0.2)
        sides[OURS]._channel = "elsewhere"
        with pytest.raises(ContestError, match=r"listeners got 0 to 0 within 0\.2 s"):
            sides[OURS].visit(50.0, 0.1)


def test_the_table_has_every_side_and_rate_and_the_plot_ours() -> None:
    shown = fanout_table(found()).shown
    assert len(shown) == len(found().visits)
    (line, *_) = fanout_plot(found()).axes[0].get_lines()
    assert np.size(line.get_xdata()) == len(SWEEP) + 1
