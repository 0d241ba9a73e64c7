"""Contests: equal work or none, leads with intervals, verdicts by the lab's rule."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.measure.experiment import Arm, Draw, Operation, Params
from perflab.measure.statistics import Interval, NotEstimable
from perflab.studies.peers.contest import (
    Contest,
    ContestError,
    Sizes,
    closest,
    concurrently,
    hold,
    in_thread,
    inverse,
)
from perflab.studies.peers.targets import judged_lead, target, verdict_table
from perflab.studies.peers.views import contest_frame, contest_table, lead_plot
from perflab.studies.targets import Judged, judged

GETS = 10
SIZES = Sizes(rounds=20, calls=3, seed=1)


def play(
    rival_s: float,
    ours_s: float,
    *,
    again_s: float | None = None,
    answered: Sequence[int] = (GETS, GETS, GETS),
    rival: str = "rival",
    yardstick: bool = False,
) -> Contest:
    """A contest in virtual time, which passes only by the sides' work."""
    now = 0.0
    wobble = itertools.cycle([0.98, 1.0, 1.02, 1.01, 0.99, 1.0, 1.0])

    def arm(name: str, seconds: float, right: int) -> Arm:
        def call(_operation: Operation, _params: Params) -> int:
            nonlocal now
            now += seconds * next(wobble)
            return right

        return Arm(name, call)

    times = (rival_s, ours_s, ours_s if again_s is None else again_s)
    one, two, three = map(arm, (rival, "ours", "again"), times, answered)
    return hold(
        "hits",
        (one, two, three),
        lambda _rng: Draw(),
        SIZES,
        requests=GETS,
        yardstick=yardstick,
        clock=lambda: now,
    )


def test_a_contest_gives_microseconds_a_request_and_the_lead() -> None:
    contest = play(0.006, 0.001)
    rival, ours, lead = contest.rival_us, contest.ours_us, contest.times_faster
    assert isinstance(rival, Interval)
    assert isinstance(ours, Interval)
    assert isinstance(lead, Interval)
    assert rival.estimate == pytest.approx(600, rel=0.03)
    assert ours.estimate == pytest.approx(100, rel=0.03)
    assert lead.estimate == pytest.approx(6, rel=0.03)
    assert lead.lo < lead.estimate < lead.hi


@pytest.mark.parametrize("side", [0, 1, 2])
def test_a_side_that_leaves_a_get_unanswered_ends_the_contest(side: int) -> None:
    answered = [GETS] * 3
    answered[side] -= 1
    with pytest.raises(ContestError, match=r"wrong answer to 60 of 600 requests"):
        play(0.006, 0.001, answered=answered)


def test_a_lead_is_judged_by_its_whole_interval() -> None:
    promise = target("x", "at least five", "at_least", 5, "times faster")
    assert judged_lead(promise, play(0.006, 0.001)).verdict.word == "met"
    assert judged_lead(promise, play(0.004, 0.001)).verdict.word == "missed"
    assert judged_lead(promise, play(0.005, 0.001)).verdict.word == "cannot tell"


def test_ours_differing_from_itself_cannot_tell() -> None:
    promise = target("x", "at least five", "at_least", 5, "times faster")
    contest = play(0.006, 0.001, again_s=0.0012)
    assert judged_lead(promise, contest).verdict.word == "cannot tell"


def test_the_closest_rival_is_the_one_we_lead_by_least() -> None:
    slow, fast = play(0.009, 0.001, rival="slow"), play(0.003, 0.001, rival="fast")
    floor = play(0.0005, 0.001, rival="floor", yardstick=True)
    assert closest([slow, fast, floor]) is fast


@given(st.floats(0.01, 100), st.floats(1, 2), st.floats(1, 2))
def test_an_inverted_interval_still_holds_its_estimate(
    ratio: float, below: float, above: float
) -> None:
    turned = inverse(Interval(ratio, ratio / below, ratio * above))
    assert isinstance(turned, Interval)
    assert turned.lo <= turned.estimate <= turned.hi
    assert turned.hi == pytest.approx(below / ratio)


def test_what_is_not_estimable_stays_so() -> None:
    assert inverse(NotEstimable("why")) == NotEstimable("why")


def test_callers_wait_at_the_same_time_and_right_answers_are_counted() -> None:
    waiting = most = 0

    async def get(number: int) -> bool:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(0)
        waiting -= 1
        return number != 3

    assert asyncio.run(concurrently(get, [[1, 2], [3, 4], [5, 6]])) == 5
    assert most == 3


def test_a_loop_in_a_thread_can_be_entered_again_while_another_runs() -> None:
    async def add(one: int, two: int) -> int:
        return one + two

    async def notebook() -> int:
        return in_thread(lambda runner: runner.run(add(runner.run(add(1, 2)), 3)))

    assert asyncio.run(notebook()) == 6


def test_the_table_shows_both_sides_and_the_plot_leaves_yardsticks_out() -> None:
    contests = [play(0.006, 0.001), play(0.0005, 0.001, rival="floor", yardstick=True)]
    assert list(contest_frame(contests)["yardstick"]) == [False, True]
    shown = contest_table(contests, title="t").shown
    assert list(shown["against"]) == ["rival", "floor"]
    labels = [text.get_text() for text in lead_plot(contests, title="t").axes[0].get_yticklabels()]
    assert labels == ["hits, rival"]


def test_the_verdict_table_counts_what_was_reached() -> None:
    def one(value: float) -> Judged:
        promise = target("x", "slack", "at_least", -0.01, "share")
        return judged(promise, Interval(value, value - 0.001, value + 0.001))

    table = verdict_table([one(0.0), one(-0.005), one(-0.02)], "Cache")
    assert table.title == "Cache: 2 of 3 targets reached"
    assert list(table.shown["verdict"]) == ["met", "met", "missed"]
    open_ = verdict_table([one(0.0), one(-0.01), one(-0.02)], "Cache")
    assert open_.title == "Cache: 1 of 3 targets reached (1 cannot tell)"
