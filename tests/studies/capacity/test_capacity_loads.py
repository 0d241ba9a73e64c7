"""Rungs, steps, predictions and crowds: what counts, what is left out, and what is never said."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from capacity_study import FOUND, LOADS, ladder_of, load_of, reading, rung

from perflab.capacity.queues import EVERYBODY, People, Station
from perflab.capacity.recommend import Shares
from perflab.capacity.scalability import NotFitted, Parameters, Scalability
from perflab.load import LoadSamples
from perflab.measure.claims import load_claims
from perflab.measure.results import Origin
from perflab.measure.statistics import Interval, NotEstimable
from perflab.report.not_run import NotRun
from perflab.studies.api.ceiling import Reading
from perflab.studies.capacity.attribution import Attribution, held_up_by, parts_of, read_counts
from perflab.studies.capacity.crowds import Crowd, Crowds, crowds_frame
from perflab.studies.capacity.held_back import (
    BY_LAW,
    OPEN_SHARE,
    P95,
    THROUGHPUT,
    Chosen,
    HeldBack,
    Predicted,
    Seen,
    choose,
    held_back_frame,
    predict,
    rows_of,
    twice_the_knee,
)
from perflab.studies.capacity.ladder import Ladder, Rung, fit_rungs
from perflab.studies.capacity.model import calibrate, most_users, p95_ms
from perflab.studies.capacity.steps import OpenStep, core_rps, limit_of
from perflab.studies.capacity.stores import UNKNOWN, StoreTimes
from perflab.studies.capacity.verdicts import judge, rows_frame
from perflab.studies.capacity.views.attribution import attribution_plot, attribution_table
from perflab.studies.capacity.views.loads import (
    crowds_table,
    held_back_table,
    ladder_plot,
    ladder_table,
    law_table,
    steps_table,
)

CURVE = Parameters(100.0, 0.05, 0.002)
RATES = tuple(float(CURVE.at(n)) for n in range(1, 33))
PEOPLE = People(daily_users=240_000)
ORIGIN = Origin(
    notebook="07_capacity",
    run_id="run",
    profile="smoke",
    seed=1,
    environment_id="here",
    rung="embedded",
    server_version="PostgreSQL 18",
)


@cache
def ladder(**changed: float) -> Ladder:
    """A ladder on the curve; ``n4=50`` adds a repetition of 50/s at four users."""
    rungs = [rung(n, float(CURVE.at(n))) for n in LOADS for _ in range(3)]
    rungs += [rung(int(name[1:]), rps) for name, rps in changed.items()]
    return Ladder(tuple(rungs), fit_rungs(rungs, 1))


# --- closed loads ---


def test_one_repetition_in_which_the_machine_was_elsewhere_changes_nothing() -> None:
    fitted = ladder(n16=3.0).fitted
    assert isinstance(fitted, Scalability)
    assert fitted.fitted.sigma == pytest.approx(0.05, rel=1e-3)


def test_a_rung_that_the_generator_spoilt_is_left_out() -> None:
    good = [rung(n, float(CURVE.at(n))) for n in LOADS]
    late = [rung(16, 5000.0, late_s=0.5) for _ in range(3)]
    assert late[0].reading.void
    fitted = fit_rungs([*good, *late], 1)
    assert isinstance(fitted, Scalability)
    assert fitted.fitted.sigma == pytest.approx(0.05, rel=1e-3)
    assert isinstance(fit_rungs(late, 1), NotFitted)


def test_only_good_answers_count_into_throughput() -> None:
    read = reading(np.full(100, 0.001), seconds=1.0)
    good = np.arange(100) % 4 != 0
    assert Rung(1, read, good, FOUND).rps == pytest.approx(0.75 * read.rps)
    assert Rung(1, read, good, FOUND).others == 25


def test_what_a_load_begins_with_is_not_looked_at() -> None:
    """A quarter of cheap answers at once, then steadily dear ones: 100/s and 20 ms."""
    ended = np.concatenate([np.full(100, 0.01), np.linspace(0.25, 1.0, 76)])
    read = reading(np.full(176, 0.02), seconds=1.0)
    samples = replace(read.samples, ended_s=ended, scheduled_s=ended - 0.02)
    steady = Rung(8, replace(read, samples=samples), np.ones(176, bool), FOUND, warm_s=0.25)
    assert steady.rps == pytest.approx(76 / 0.75)
    assert len(steady.response_s) == len(steady.service_s) == 74
    assert steady.others == 0


def test_a_spoilt_repetition_says_nothing_of_a_concurrencys_throughput() -> None:
    rungs = (rung(4, 100.0), rung(4, 10.0, late_s=0.5), rung(4, 104.0))
    assert Ladder(rungs, NotFitted("")).rps(4) == pytest.approx(102.0)
    assert Ladder(rungs[1:2], NotFitted("")).rps(4) == 10.0, "better than nothing to show"


def test_answers_that_take_longer_than_the_load_are_waited_for_where_the_rate_needs_them() -> None:
    """Ten answers after two seconds, in a load of a tenth of one: none ended within it."""
    read = reading(np.full(10, 2.0), seconds=0.1)
    slow = Rung(10, read, read.samples.status == 200, FOUND)
    assert slow.rps == 0.0
    assert slow.rps_to_the_end == pytest.approx(10 / 2.09)


def test_tables_show_the_law_or_why_there_is_none() -> None:
    shown = law_table(ladder())
    assert "7.398" in repr(shown)  # the knee: the peak over γ
    assert len(ladder_table(ladder()).shown) == len(LOADS)
    (axes,) = ladder_plot(ladder()).axes  # type: ignore[union-attr]  # a figure
    assert "knee at" in axes.get_title(loc="left")
    few = Ladder((rung(1, 100.0), rung(2, 190.0)), NotFitted("2 different loads; a curve needs 6"))
    assert "needs 6" in str(law_table(few))


# --- attribution ---


def test_counters_are_read_off_the_metrics_and_policies_are_added_up() -> None:
    text = "\n".join(
        [
            "# TYPE perflab_cache_hits counter",
            'perflab_cache_hits_total{policy="a",tier="memory"} 5.0',
            'perflab_cache_hits_total{policy="b",tier="memory"} 1.0',
            'perflab_cache_hits_total{policy="a",tier="redis"} 2.0',
            'perflab_cache_hits_total{policy="a",tier="loader"} 4.0',
            'perflab_cache_hits_total{policy="a",tier="edge"} 100.0',
            "# TYPE perflab_pool_requests counter",
            "perflab_pool_requests_total 10.0",
            "# TYPE perflab_pool_queued counter",
            "perflab_pool_queued_total 3.0",
            "# TYPE perflab_pool_wait_seconds counter",
            "perflab_pool_wait_seconds_total 0.6",
            "# TYPE perflab_loop_lag_seconds histogram",
            'perflab_loop_lag_seconds_bucket{le="0.001"} 1.0',
            'perflab_loop_lag_seconds_bucket{le="+Inf"} 4.0',
            "perflab_loop_lag_seconds_count 4.0",
            "perflab_loop_lag_seconds_sum 0.02",
            "# EOF",
        ]
    )
    counts = read_counts(text)
    assert (counts.hits, counts.lookups) == (8.0, 12.0)
    found = Attribution(Shares(0, 0, 0), 0.0, counts - read_counts(""), "")
    assert found.hit_ratio == pytest.approx(8 / 12)
    assert found.waited == pytest.approx(0.3)
    assert found.pooled(4).wait_ms == pytest.approx(200)
    assert found.lag_ms == pytest.approx(5)
    assert np.isnan(replace(found, counts=FOUND.counts).lag_ms), "nobody looked"


def test_what_stores_and_pool_took_is_told_for_one_answer() -> None:
    times = StoreTimes(0.5, 300, 0.02) - StoreTimes(0.3, 100, 0.01)
    found = replace(FOUND, stores=times, answers=100)
    assert found.postgres_ms == pytest.approx(2.0)
    assert found.redis_ms == pytest.approx(0.1)
    assert found.pool_ms == pytest.approx(1.0)
    assert np.isnan(replace(found, stores=UNKNOWN).postgres_ms)
    both = parts_of([found, replace(found, stores=UNKNOWN)])
    assert both["postgres_ms"] == pytest.approx(2.0), "of those that tell"
    assert np.isnan(parts_of([replace(found, stores=UNKNOWN)])["redis_ms"])


@pytest.mark.parametrize(
    ("shares", "queued", "void", "said"),
    [
        (Shares(0.5, 0.1, 0.1), 0, "", "nothing yet"),
        (Shares(0.7, 0.2, 0.05), 0, "", "the core, mostly the server (74%)"),
        (Shares(0.2, 0.7, 0.05), 0, "", "the core, mostly PostgreSQL (74%)"),
        (Shares(0.5, 0.1, 0.1), 20, "", "the pool"),
        (Shares(0.7, 0.2, 0.05), 20, "", "the core, mostly the server (74%) and the pool"),
        (Shares(0.7, 0.2, 0.05), 20, "late", "the generator"),
    ],
)
def test_what_holds_a_load_up_is_named(shares: Shares, queued: float, void: str, said: str) -> None:
    counts = replace(FOUND.counts, queued=queued)
    assert Attribution(shares, 0.3, counts, void).bottleneck == said


def test_an_event_loop_that_is_late_on_a_core_with_room_is_named() -> None:
    counts = replace(FOUND.counts, queued=0, ticks=10, late_s=0.12)
    idle = Attribution(Shares(0.4, 0.1, 0.1), 0.3, counts, "")
    assert idle.bottleneck == "the server's event loop, 12 ms late"
    assert replace(idle, counts=replace(counts, late_s=0.09)).bottleneck == "nothing yet"
    full = replace(idle, shares=Shares(0.8, 0.1, 0.1))
    assert "event loop" not in full.bottleneck, "of a full core it is the consequence"
    assert held_up_by([idle, full, idle]) == idle.bottleneck


def test_table_and_plot_of_where_the_time_went_show_every_load_of_both_kinds() -> None:
    steps = [step(100, 20), step(200, 160)]
    table = attribution_table(ladder(), steps)
    assert list(table.raw["load"])[:2] == ["1 user", "2 users"]
    assert list(table.raw["load"])[-1] == "200 arrivals/s"
    (axes,) = attribution_plot(ladder(), steps).axes
    assert axes.get_title(loc="left").startswith("The core works for the server: 67%")
    assert len(axes.patches) == 4 * len(table.raw)


# --- open loads ---


def step(rate: float, ms: float, **facts: float) -> OpenStep:
    latency = np.full(400, ms / 1e3)
    if facts.pop("outran", 0):
        latency = np.linspace(0.001, 0.148, 400)  # p95 is within the promise
    return OpenStep(load_of(rate, latency, **facts), FOUND, 150.0)  # type: ignore[arg-type]


def test_the_limit_lies_between_the_last_step_that_held_and_the_first_that_did_not() -> None:
    steps = [step(100, 20), step(200, 140), step(300, 151), step(400, 100)]
    assert [one.holds for one in steps] == [True, True, False, True]
    assert core_rps(steps) == Interval(200, 200, 300), "what held above a failure does not count"


def test_an_unstable_step_never_holds_and_a_void_one_says_nothing() -> None:
    unstable = step(300, 0, outran=1)
    assert not unstable.holds
    assert unstable.finding == "unstable: requests outran the server"
    void = step(200, 200, late_s=0.2)
    assert void.finding == "void: the generator was the limit"
    found = limit_of([step(100, 20), void])
    assert found.lower == 100
    assert core_rps([step(100, 20), void]) == Interval(100, 100, 100)
    assert isinstance(core_rps([void]), NotEstimable)


def test_a_step_that_holds_though_the_generator_was_late_holds() -> None:
    """Its lateness is part of the latency from the schedule, so it can only look worse."""
    late = step(200, 60, late_s=0.03)
    assert late.load.void
    assert late.finding == "holds, though the generator was late"
    assert core_rps([late, step(300, 200)]) == Interval(200, 200, 300)


def test_lost_requests_break_the_promise_however_fast_the_others_were() -> None:
    load = load_of(100, np.full(400, 0.01))
    lost = load.good.copy()
    lost[:2] = False
    assert OpenStep(load, FOUND, 150.0).holds
    assert not OpenStep(replace(load, good=lost), FOUND, 150.0).holds


def test_the_table_says_what_was_kept() -> None:
    table = steps_table([step(100, 20), step(200, 160)])
    assert table.title == "Open loads: p95 kept at 100/s and not at 200/s"
    assert "at no step" in steps_table([step(100, 160)]).title


# --- the model ---


@pytest.mark.parametrize(("slots", "favour"), [(1, 0.0), (EVERYBODY, 0.0), (EVERYBODY, 0.3)])
def test_a_known_station_is_recognised_and_loads_it_was_not_made_from_are_predicted(
    slots: int, favour: float
) -> None:
    """Three kinds of work; twice the peak's users and 80 % of the peak are not in the ladder."""
    work = np.array([0.5, 1.0, 4.0])
    station = Station(RATES, work, slots, favour)
    model = calibrate(ladder_of(station), 30.0, 3)
    assert not isinstance(model, NotFitted)
    assert model.station.slots == slots
    assert model.station.favour == pytest.approx(favour, abs=0.1)
    for run, truth in (
        (model.closed(24, 0.0), replace(model, station=station, seed=4).closed(24, 0.0)),
        (model.open(400.0), replace(model, station=station, seed=4).open(400.0)),
    ):
        predicted, known = p95_ms(run), p95_ms(truth)
        assert isinstance(predicted, Interval)
        assert isinstance(known, Interval)
        assert predicted.estimate == pytest.approx(known.estimate, rel=0.25)


def test_without_one_user_alone_there_is_no_model() -> None:
    without = Ladder((rung(2, 100.0), rung(4, 150.0)), NotFitted(""))
    assert calibrate(without, 1.0, 1) == NotFitted("there are no service times of one user alone")
    spoilt = Ladder((rung(1, 100.0), rung(4, 150.0, late_s=0.3)), NotFitted(""))
    assert isinstance(calibrate(spoilt, 1.0, 1), NotFitted)


def test_the_most_users_are_about_what_the_peak_serves_in_a_cycle() -> None:
    """500/s and pauses of 2 s: N = X·(Z + R) lies between 1,000 and 1,075."""
    model = calibrate(ladder_of(Station((100.0, 300.0, 500.0), np.array([1.0]))), 2.0, 1)
    assert not isinstance(model, NotFitted)
    most = most_users(model, 2.0, 150.0, probes=8)
    assert 900 <= most <= 1_100
    assert most_users(model, 2.0, 0.001) == 0


def test_the_held_back_users_are_twice_the_knee_and_on_no_rung() -> None:
    assert twice_the_knee(ladder()) == round(2 * CURVE.knee_users)
    without = Ladder((rung(1, 100.0), rung(2, 150.0), rung(9, 148.0)), NotFitted("few"))
    assert twice_the_knee(without) == 3, "the highest over that of one user is 1.5"
    taken = Ladder((rung(1, 100.0), rung(3, 150.0)), NotFitted("few"))
    assert twice_the_knee(taken) == 4


def test_what_is_held_back_follows_from_the_first_round() -> None:
    chosen = choose(ladder())
    assert chosen.users == round(2 * CURVE.knee_users)
    assert chosen.rate_rps == pytest.approx(OPEN_SHARE * ladder().peak[1])
    assert OPEN_SHARE >= 0.8
    silent = Ladder((rung(1, 0.0), rung(4, 0.0)), NotFitted("no answers"))
    assert choose(silent) == Chosen(1.0, 2), "a server that answers nothing is asked all the same"


@pytest.mark.parametrize(
    ("figure", "predicted", "void", "finding"),
    [
        (THROUGHPUT, 109.0, "", "within"),
        (THROUGHPUT, 111.0, "", "off"),
        (THROUGHPUT, 89.0, "", "off"),
        (P95, 124.0, "", "within"),
        (P95, 74.0, "", "off"),
        (P95, 100.0, "late", "void: the generator was the limit"),
        (P95, float("nan"), "", "cannot tell"),
    ],
)
def test_a_prediction_is_within_its_bound_or_off(
    figure: str, predicted: float, void: str, finding: str
) -> None:
    one = Predicted("a load", figure, (predicted,) * 3, (100.0,) * 3, void)
    assert one.finding == finding
    assert len(held_back_frame([one])) == 1


def test_the_median_round_decides_and_what_is_off_is_laid_to_noise_or_to_the_model() -> None:
    def of(*measured: float) -> Predicted:
        return Predicted("a load", THROUGHPUT, (100.0,) * len(measured), measured, "")

    assert (of(95, 100, 50).finding, of(95, 100, 50).cause) == ("within", "")
    assert of(80, 84, 70).finding == "off"
    assert of(80, 84, 70).cause == "the model: no round is within"
    assert of(80, 84, 99).cause.startswith("noise: 1 of 3 rounds are within")
    assert of(80, 84, 150).cause.startswith("noise: 0 of 3"), "one above and two below"
    row = held_back_frame([of(80, 100, 125)]).iloc[0]
    assert (row["off_lo"], row["off"], row["off_hi"]) == pytest.approx((-20, 0, 25))


def test_of_rounds_only_those_count_that_the_generator_did_not_spoil() -> None:
    seen = [Seen(3, 100.0, 10.0, ""), Seen(3, 1.0, 900.0, "late"), Seen(3, 110.0, 12.0, "")]
    throughput, p95 = rows_of("a load", seen, lambda _: (105.0, 11.0))
    assert throughput.measured == (100.0, 110.0)
    assert p95.measured == (10.0, 12.0)
    assert throughput.finding == p95.finding == "within"
    (void, _) = rows_of("a load", [Seen(3, 100.0, 10.0, "late")], lambda _: (105.0, 11.0))
    assert void.finding == "void: the generator was the limit"
    assert held_back_frame([void]).iloc[0]["measured"] == 100.0, "shown all the same"
    (nothing, _) = rows_of("a load", [], lambda _: (105.0, 11.0))
    assert nothing.finding.startswith("void")
    assert np.isnan(held_back_frame([nothing]).iloc[0]["measured"])


def test_an_open_load_is_simulated_on_its_own_schedule() -> None:
    """Ten arrivals at once at a line of 10 ms each: the last one takes 100 ms."""
    made = ladder_of(Station(RATES, np.array([1.0])))
    model = calibrate(made, 5.0, 1)
    assert not isinstance(model, NotFitted)
    model = replace(model, station=Station((100.0,), np.array([1.0])))
    at_once = Seen(100.0, 100.0, 95.0, "", np.zeros(10))
    apart = Seen(10.0, 10.0, 10.0, "", np.arange(10) / 10)
    users = (Seen(3, 100.0, 30.0, ""), Seen(5, 100.0, 50.0, ""))
    held_back = HeldBack((at_once, apart), users)
    found = predict(held_back, made, model, 1)
    assert not isinstance(found, NotRun)
    opened = {one.figure: one for one in found if "arrivals" in one.load}
    assert opened[THROUGHPUT].predicted == pytest.approx((100.0, 10 / 0.91))
    assert opened[P95].predicted == pytest.approx((95.5, 10.0))
    closed = {one.figure: one for one in found if one.load.startswith("3 to 5 users")}
    assert set(closed) == {THROUGHPUT, P95, BY_LAW}
    assert closed[THROUGHPUT].predicted[0] == pytest.approx(100.0, rel=0.01)
    assert isinstance(made.fitted, Scalability)
    law = made.fitted.fitted
    assert closed[BY_LAW].predicted == pytest.approx((float(law.at(3)), float(law.at(5))))
    assert closed[P95].predicted[1] == pytest.approx(50.0, rel=0.05)


def test_a_request_during_which_the_machine_was_elsewhere_is_no_work() -> None:
    """One of 400 took a second: without it all the others would be a quarter of what they are."""
    times = np.full(400, 0.001)
    times[7] = 1.0
    rungs = (rung(1, 1_000.0, times), rung(2, 1_000.0, 0.002))
    model = calibrate(Ladder(rungs, NotFitted("")), 1.0, 1)
    assert not isinstance(model, NotFitted)
    drawn = model.station.draw(np.random.default_rng(1), 10_000)
    assert drawn.max() == pytest.approx(1.0)


def test_between_two_rungs_the_time_of_a_round_lies_on_a_straight_line() -> None:
    """Which is exact for the law without coherency, however far the rungs are apart."""
    amdahl = Parameters(1_000.0, 0.6, 0.0)
    loads = (1, 2, 4, 8, 16, 32)
    rungs = tuple(rung(n, float(amdahl.at(n))) for n in loads)
    model = calibrate(Ladder(rungs, NotFitted("")), 1.0, 1)
    assert not isinstance(model, NotFitted)
    assert model.station.rates_rps == pytest.approx([float(amdahl.at(n)) for n in range(1, 33)])


# --- users who pause ---


def crowd(users: int, ms: float, *, late_s: float = 0.0) -> Crowd:
    return Crowd(users, rung(users, users / 10, ms / 1e3, late_s=late_s), 150.0)


def crowds(*measured: Crowd, core_users: int | NotFitted = 8_000) -> Crowds:
    return Crowds(measured, PEOPLE, 150.0, core_users, {10_000: Interval(400.0, 300.0, 500.0)})


def test_users_that_held_are_no_verdict_on_more_than_were_there() -> None:
    found = crowds(crowd(1_000, 20), crowd(3_000, 90))
    assert found.held == 3_000
    estimate = found.users(10_000)
    assert isinstance(estimate, NotEstimable)
    assert "measured: 3,000 users held; extrapolated: 8,000 users on one core" in estimate.reason
    (result, extrapolated) = judge(load_claims(), found, ORIGIN)
    assert result.verdict is not None
    assert result.verdict.word == "cannot tell"
    assert extrapolated.claim is None
    assert extrapolated.warnings == ("simulated, not measured",)


def test_ten_thousand_that_were_there_meet_the_promise() -> None:
    (result, _) = judge(load_claims(), crowds(crowd(10_000, 120)), ORIGIN)
    assert result.verdict is not None
    assert result.verdict.word == "met"


def test_users_that_lost_their_p95_below_the_promise_miss_it() -> None:
    found = crowds(crowd(1_000, 20), crowd(3_000, 200))
    assert found.users(10_000) == Interval(1_000, 1_000, 3_000)
    (result, _) = judge(load_claims(), found, ORIGIN)
    assert result.verdict is not None
    assert result.verdict.word == "missed"


def test_what_the_generator_spoilt_is_void_and_counts_as_held_by_nobody() -> None:
    assert crowds(crowd(1_000, 40, late_s=0.03)).held == 1_000, "it can only look worse"
    found = crowds(crowd(1_000, 320, late_s=0.3), core_users=NotFitted("no model"))
    assert found.held == 0
    (result,) = judge(load_claims(), found, ORIGIN)
    assert result.verdict is not None
    assert result.verdict.word == "void"


def test_where_no_process_may_have_the_connections_nothing_is_judged() -> None:
    (result, _) = judge(load_claims(), crowds(), ORIGIN)
    assert result.verdict is not None
    assert result.verdict.word == "cannot tell"
    assert "ulimit -n" in result.verdict.reason


def test_the_plans_rows_keep_measured_and_extrapolated_apart() -> None:
    found = crowds(crowd(1_000, 20))
    frame = rows_frame(load_claims(), found, ladder(), Interval(400.0, 400.0, 500.0))
    users, rps = frame.to_dict("records")
    assert users["measured"] == "1,000 users on one core"
    assert users["extrapolated"] == "8,000 users on one core; 2 core(s) for 10,000"
    assert "p95 kept up to: 400/s" in rps["measured"]
    assert rps["extrapolated"] == "3 core(s) for 1,000/s with p95 kept"
    none = rows_frame(
        load_claims(), crowds(core_users=NotFitted("why")), ladder(), NotEstimable("x")
    )
    assert list(none["extrapolated"]) == [
        "not possible: why",
        "not possible: p95 was kept at no rate",
    ]


def test_the_table_of_users_says_of_each_row_how_it_came_about() -> None:
    frame = crowds_frame(crowds(crowd(1_000, 20)))
    assert list(frame["how"]) == ["measured", "extrapolated", "extrapolated"]
    assert list(frame["holds"]) == ["yes", "yes, simulated", "no, simulated"]
    assert len(crowds_table(crowds(crowd(1_000, 20))).shown) == 3


def test_a_reading_without_requests_breaks_nothing() -> None:
    empty = reading(np.empty(0), seconds=1.0)
    assert isinstance(empty, Reading)
    assert isinstance(empty.samples, LoadSamples)
    one = Rung(1, empty, np.empty(0, bool), FOUND)
    assert one.rps == 0.0
    assert np.isnan(one.quantile_ms(0.95))


def test_predictions_that_were_not_made_show_why() -> None:
    assert "no model" in str(held_back_table((), NotFitted("no model")))
