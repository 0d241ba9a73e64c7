"""Closed formulas against textbook figures, and the simulation against the closed formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.capacity.errors import CapacityError
from perflab.capacity.queues import (
    EVERYBODY,
    People,
    Simulated,
    Station,
    closed,
    multi_server,
    simulate_closed,
    simulate_due,
    simulate_open,
    single_server,
)
from perflab.capacity.queues.people import arrival_rps, users_of
from perflab.capacity.queues.station import Serving
from perflab.measure.statistics import Estimate, Interval

SEEDS = range(12)
FEWEST = 10
"""Of 12 intervals of 95 %, so many cover but in 2 of 100 cases; the seeds are fixed."""

# --- formulas ---


def test_one_server_has_the_textbooks_figures() -> None:
    """λ = 8, μ = 10: ρ = 0.8, W = 1/(μ−λ) = 0.5 s, L = 4, p95 = W·ln 20."""
    queue = single_server(8, 0.1)
    assert queue.utilisation == pytest.approx(0.8)
    assert queue.waiting_probability == pytest.approx(0.8)
    assert queue.mean_response_s == pytest.approx(0.5)
    assert queue.mean_wait_s == pytest.approx(0.4)
    assert queue.mean_present == pytest.approx(4.0)
    assert queue.response_quantile_s(0.95) == pytest.approx(0.5 * math.log(20))


def test_two_servers_have_the_textbooks_figures() -> None:
    """λ = 3, μ = 2, c = 2: C = 9/14, L = 24/7 (Gross et al., ch. 2: L = 2ρ/(1−ρ²))."""
    queue = multi_server(3, 0.5, 2)
    assert queue.waiting_probability == pytest.approx(9 / 14)
    assert queue.mean_present == pytest.approx(2 * 0.75 / (1 - 0.75**2))


@given(
    servers=st.integers(1, 40),
    load=st.floats(0.05, 0.97),
    service_s=st.floats(0.001, 10),
)
@settings(max_examples=8, deadline=None)
def test_the_mean_is_the_integral_of_what_is_longer(
    servers: int, load: float, service_s: float
) -> None:
    queue = multi_server(load * servers / service_s, service_s, servers)
    spread = max(queue.mean_response_s, service_s / (servers * (1 - load)))
    times = np.linspace(0, 60 * spread, 4_001)
    longer = [queue.longer_than(float(time)) for time in times]
    assert np.trapezoid(longer, times) == pytest.approx(queue.mean_response_s, rel=5e-3)
    assert queue.longer_than(0.0) == 1.0


def test_spare_room_equal_to_one_servers_rate_is_no_exception() -> None:
    """λ = μ, c = 2: the general form divides by zero there."""
    near, there = multi_server(10 - 1e-6, 0.1, 2), multi_server(10, 0.1, 2)
    assert there.response_quantile_s(0.95) == pytest.approx(
        near.response_quantile_s(0.95), rel=1e-5
    )


def test_more_than_can_be_served_has_no_steady_state() -> None:
    with pytest.raises(CapacityError, match="the queue would grow without end"):
        multi_server(20, 0.1, 2)


def test_two_users_at_one_server_are_the_known_chain() -> None:
    """N = 2, Z = s = 1: shares 1 : 2 : 2, so X = 4/5 and R = 2/X − 1 = 1.5."""
    load = closed(2, 1.0, [1.0])
    assert load.throughput_rps == pytest.approx(0.8)
    assert load.mean_response_s == pytest.approx(1.5)


def test_ten_thousand_users_neither_overflow_nor_exceed_the_station() -> None:
    load = closed(10_000, 10.0, [100.0, 800.0])
    assert load.throughput_rps == pytest.approx(800, rel=1e-6)
    assert load.mean_response_s == pytest.approx(2.5, rel=1e-6)


def test_users_who_do_not_think_are_all_at_the_station() -> None:
    assert closed(3, 0.0, [5.0, 8.0, 9.0]).mean_response_s == pytest.approx(3 / 9)


# --- the simulation ---

ONE = Station((100.0,))
FOUR = Station((100.0, 200.0, 300.0, 400.0), slots=4)
SHARED = Station((50.0, 80.0, 100.0), slots=EVERYBODY)
LINED = Station(SHARED.rates_rps)
KNOWN: dict[str, tuple[Callable[[int], Simulated], float, float]] = {
    "M/M/1": (
        lambda seed: simulate_open(ONE, 60, seconds=120, warm_s=5, seed=seed),
        single_server(60, 0.01).mean_response_s,
        60.0,
    ),
    "M/M/4": (
        lambda seed: simulate_open(FOUR, 280, seconds=40, warm_s=2, seed=seed),
        multi_server(280, 0.01, 4).mean_response_s,
        280.0,
    ),
    "users who think": (
        lambda seed: simulate_closed(ONE, 40, 0.5, seconds=80, warm_s=5, seed=seed),
        closed(40, 0.5, [100.0]).mean_response_s,
        closed(40, 0.5, [100.0]).throughput_rps,
    ),
    "a speed that depends on how many are there": (
        lambda seed: simulate_closed(SHARED, 40, 0.5, seconds=80, warm_s=5, seed=seed),
        closed(40, 0.5, SHARED.rates_rps).mean_response_s,
        closed(40, 0.5, SHARED.rates_rps).throughput_rps,
    ),
    "the same with one served at a time": (
        lambda seed: simulate_closed(LINED, 40, 0.5, seconds=80, warm_s=5, seed=seed),
        closed(40, 0.5, SHARED.rates_rps).mean_response_s,
        closed(40, 0.5, SHARED.rates_rps).throughput_rps,
    ),
}


def covering(estimates: list[Estimate], value: float) -> int:
    return sum(isinstance(one, Interval) and one.covers(value) for one in estimates)


@pytest.mark.parametrize("name", KNOWN)
def test_the_formulas_lie_within_the_simulations_intervals(name: str) -> None:
    simulate, response_s, throughput_rps = KNOWN[name]
    runs = [simulate(seed) for seed in SEEDS]
    assert covering([run.mean_response_s for run in runs], response_s) >= FEWEST
    assert covering([run.throughput_rps for run in runs], throughput_rps) >= FEWEST


@pytest.mark.parametrize(
    ("station", "rate", "q95"),
    [
        (ONE, 60.0, single_server(60, 0.01).response_quantile_s(0.95)),
        (FOUR, 240.0, multi_server(240, 0.01, 4).response_quantile_s(0.95)),
    ],
)
def test_so_do_the_95th_percentiles(station: Station, rate: float, q95: float) -> None:
    runs = [simulate_open(station, rate, seconds=40, warm_s=2, seed=seed) for seed in SEEDS]
    assert covering([run.response_quantile_s(0.95) for run in runs], q95) >= FEWEST


def test_equal_work_in_line_takes_a_multiple_of_it_and_nothing_else() -> None:
    """Five users without a pause, one slot, 10 ms each: everybody waits for the four others."""
    station = Station((100.0,), work=np.array([3.0]))
    run = simulate_closed(station, 5, 0.0, seconds=1, warm_s=1)
    assert run.response_s == pytest.approx(np.full(len(run.response_s), 0.05))


def test_whoever_shares_is_slowed_down_alike_and_short_work_stays_short() -> None:
    """Two kinds of work, one and three times: with everybody served, times are as 1 to 3."""
    work = np.array([1.0, 3.0])
    shared = simulate_closed(
        Station((100.0,), work=work, slots=EVERYBODY), 50, 0.0, seconds=60, warm_s=10
    )
    low, high = np.quantile(shared.response_s, [0.1, 0.9])
    assert high / low == pytest.approx(3, rel=0.15)
    in_line = simulate_closed(Station((100.0,), work=work), 50, 0.0, seconds=60, warm_s=10)
    low, high = np.quantile(in_line.response_s, [0.1, 0.9])
    assert high / low < 1.5


def test_a_schedule_is_kept_and_everybody_is_waited_for() -> None:
    """Work of 10 ms in line: three at once, one that comes meanwhile, one long after."""
    line = Station((100.0,), work=np.array([1.0]))
    due_s = np.array([0.0, 0.0, 0.0, 0.025, 0.5])
    assert simulate_due(line, due_s) == pytest.approx([0.01, 0.02, 0.03, 0.015, 0.01])
    assert len(simulate_due(line, np.empty(0))) == 0


def test_poisson_arrivals_on_a_schedule_wait_as_the_formula_says() -> None:
    due_s = np.cumsum(np.random.default_rng(5).exponential(1 / 60, 60_000))
    known = single_server(60, 0.01).mean_response_s
    assert simulate_due(ONE, due_s, seed=5).mean() == pytest.approx(known, rel=0.05)


def test_favoured_requests_get_shares_by_their_weights() -> None:
    """Work of 4 and 1 in units of the mean, weights 1/4 and 1: they share 4 to 1.

    At 100 units/s the short one has 80 and needs 1/80 s; the long one has done 0.25 by then, and
    has the server for itself for the other 3.75.
    """
    work = np.array([1.0, 1.0, 4.0, 4.0])
    station = Station((100.0,), work=work / work.mean(), slots=EVERYBODY, favour=1.0)
    env = simpy.Environment()
    serving = Serving(env, station)
    long, short = serving.ask(4.0), serving.ask(1.0)
    env.run(until=short)
    assert env.now == pytest.approx(1 / 80)
    env.run(until=long)
    assert env.now == pytest.approx(1 / 80 + 3.75 / 100)


def test_in_a_line_nobody_is_favoured() -> None:
    work = np.array([0.5, 2.0])
    due_s = np.linspace(0.0, 3.0, 200)
    plain = simulate_due(Station((100.0,), work=work), due_s)
    assert simulate_due(Station((100.0,), work=work, favour=0.5), due_s) == pytest.approx(plain)


def test_littles_law_holds_in_every_run() -> None:
    run = simulate_closed(SHARED, 40, 0.5, seconds=200, warm_s=5, seed=3)
    throughput, response = run.throughput_rps, run.mean_response_s
    assert isinstance(throughput, Interval)
    assert isinstance(response, Interval)
    assert throughput.estimate * (response.estimate + 0.5) == pytest.approx(40, rel=0.02)


@pytest.mark.parametrize(
    "simulate",
    [
        lambda seed: simulate_open(ONE, 50, seconds=5, seed=seed),
        lambda seed: simulate_closed(ONE, 5, 0.1, seconds=5, seed=seed),
    ],
)
def test_a_seed_repeats_a_run_and_another_one_does_not(
    simulate: Callable[[int], Simulated],
) -> None:
    assert np.array_equal(simulate(1).response_s, simulate(1).response_s)
    assert not np.array_equal(simulate(1).response_s, simulate(2).response_s)


# --- people ---


def test_people_become_arrivals_by_littles_law() -> None:
    """86,400 users a day, one session of 100 s each: 100 at once, three times that at the peak."""
    people = People(daily_users=86_400, sessions_per_user=1, session_s=100, think_s=10, busiest=3)
    assert people.concurrent == pytest.approx(300)
    assert people.arrival_rps() == pytest.approx(30)
    assert people.arrival_rps(response_s=5.0) == pytest.approx(20)


def test_no_more_people_are_there_than_come_in_a_day() -> None:
    people = People(daily_users=100, sessions_per_user=50, session_s=3600, busiest=10)
    assert people.concurrent == 100


@given(users=st.floats(1, 1e6), think_s=st.floats(0.1, 100), response_s=st.floats(0, 10))
def test_users_and_arrivals_are_each_others_inverse(
    users: float, think_s: float, response_s: float
) -> None:
    rps = arrival_rps(users, think_s, response_s)
    assert users_of(rps, think_s, response_s) == pytest.approx(users)


def test_the_plans_scenarios_have_the_cycles_that_follow_from_their_figures() -> None:
    assert [arrival_rps(u, z) for u, z in ((100, 5), (200, 4), (50, 5))] == [20, 50, 10]


# --- what cannot be ---

TEXT: Any = "1"
HALF: Any = 2.5
NOTHING: Any = None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: single_server(0, 0.1), "arrival_rps=0"),
        (lambda: single_server(1, math.nan), "service_s=nan"),
        (lambda: multi_server(1, 0.1, 0), "servers=0"),
        (lambda: single_server(1, 0.1).response_quantile_s(1.0), "q=1"),
        (lambda: closed(0, 1.0, [1.0]), "users=0"),
        (lambda: closed(1, -1.0, [1.0]), "think_s=-1"),
        (lambda: closed(1, 1.0, []), "rates_rps: at least"),
        (lambda: closed(1, 1.0, [0.0]), "rates_rps=0"),
        (lambda: Station(()), "rates_rps: at least"),
        (lambda: Station((1.0, -1.0)), "rates_rps=-1"),
        (lambda: Station((1.0,), slots=0), "slots=0"),
        (lambda: Station((1.0,), work=np.array([])), "work: service times"),
        (lambda: Station((1.0,), work=np.array([1.0, 0.0])), "work: service times"),
        (lambda: simulate_open(ONE, 0, seconds=1), "rate_rps=0"),
        (lambda: simulate_open(ONE, 1, seconds=0), "seconds=0"),
        (lambda: simulate_due(ONE, np.array([0.2, 0.1])), "due_s: "),
        (lambda: Station((1.0,), favour=-0.1), "favour=-0.1"),
        (lambda: simulate_due(ONE, np.array([-1.0])), "due_s: "),
        (lambda: simulate_closed(ONE, 1, 1.0, seconds=1, warm_s=-1), "warm_s=-1"),
        (lambda: simulate_closed(ONE, 0, 1.0, seconds=1), "users=0"),
        (lambda: People(daily_users=0), "daily_users=0"),
        (lambda: People(daily_users=1, busiest=0.5), "busiest=0.5"),
        (lambda: People(daily_users=1, busiest=math.inf), "busiest=inf: .* from 1 on"),
        (lambda: arrival_rps(1, 0.0), r"think_s \+ response_s=0"),
        (lambda: single_server(True, 0.1), "arrival_rps=True: must be a finite number above 0"),
        (lambda: single_server(TEXT, 0.1), "arrival_rps='1': must be a finite number above 0"),
        (lambda: multi_server(1, 0.1, HALF), "servers=2.5: must be a whole number"),
        (lambda: closed(1, NOTHING, [1.0]), "think_s=None: must be a finite number from 0 on"),
        (lambda: Station((1.0,), slots=True), "slots=True: must be a whole number"),
    ],
)
def test_arguments_that_nothing_follows_from_are_refused_by_name(
    make: Callable[[], object], said: str
) -> None:
    with pytest.raises(CapacityError, match=said):
        make()
