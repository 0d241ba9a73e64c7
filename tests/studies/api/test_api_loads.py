"""Loads by hand: refusals count, queues that grow are seen, verdicts never hide the generator."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from api_study import made_load, reading, some_sizes

from perflab.load import Request
from perflab.measure.claims import load_claims
from perflab.measure.results import Origin, Result
from perflab.measure.statistics import Interval, NotEstimable
from perflab.studies.api import rows
from perflab.studies.api.loads import PATIENCE_S, TRIES, Load, mean_ms, quantile_ms, unspoilt
from perflab.studies.api.rows import Row, measure_rows, probes_frame, rows_frame
from perflab.studies.api.site import Person
from perflab.studies.api.steady import SETTLING, WINDOWS, Steady
from perflab.studies.api.throughput import PAGES, Crowd, Throughput
from perflab.studies.api.traffic import LOGINS_EACH, Traffic, _login, _task
from perflab.studies.api.verdicts import capacity, judge_rows, judge_throughput
from perflab.studies.api.views.rows import reach_plot, reach_table, rows_table

ORIGIN = Origin(
    notebook="04_api", run_id="r", profile="smoke", seed=1, environment_id="e",
    rung="embedded", server_version="none",
)  # fmt: skip
PEOPLE = [Person(number, f"p{number}@x.test", 10 + number, f"t{number}") for number in range(7)]
TRAFFIC = Traffic("auth", "Authentication", PEOPLE, lambda n, p: _login(n, p, "x"), about="logins")
LATE_S = 0.02


def row(*loads: Load, probes: tuple[Load, ...] = ()) -> Row:
    return Row(traffic=TRAFFIC, rate_rps=50, promised_ms=200, loads=loads, probes=probes)


def judged(one: Row) -> dict[str | None, Result]:
    return {result.claim: result for result in judge_rows(load_claims(), [one], ORIGIN)}


def verdict(one: Row, claim: str) -> str:
    found = judged(one)[claim].verdict
    assert found is not None
    return found.word


def test_a_refused_request_counts_as_the_patience_of_a_client() -> None:
    load = made_load(50, [0.1] * 9 + [0.001], status=[200] * 9 + [503])
    assert load.refused == 1
    assert load.mean_ms == pytest.approx((9 * 100 + 1e3 * PATIENCE_S) / 10)
    assert load.quantile_ms(0.9) == pytest.approx(100)
    assert load.quantile_ms(0.95) == pytest.approx(1e3 * PATIENCE_S)


def test_a_server_that_falls_behind_is_outrun_however_short_the_waits_are() -> None:
    steady = np.full(1_000, 0.05)
    assert not made_load(50, steady).outran
    # a second of arrivals of which a fifth is left over at its end
    assert made_load(50, np.linspace(0.001, 0.2, 1_000)).outran
    assert not made_load(50, np.linspace(0.001, 0.08, 1_000)).outran


def test_figures_have_intervals_over_repetitions_and_blocks() -> None:
    rng = np.random.default_rng(3)
    loads = [made_load(50, rng.exponential(0.02, 400)) for _ in range(3)]
    mean, p95 = mean_ms(loads), quantile_ms(loads, 0.95)
    assert isinstance(mean, Interval)
    assert mean.covers(20)
    assert isinstance(p95, Interval)
    assert p95.covers(1e3 * 0.02 * np.log(20))
    assert isinstance(quantile_ms([made_load(50, [0.1] * 10)] * 3, 0.95), NotEstimable)


def test_an_average_within_the_promise_is_met_and_one_above_it_missed() -> None:
    rng = np.random.default_rng(4)
    fast, slow = (
        row(*(made_load(50, rng.normal(centre, 0.001, 100)) for _ in range(3)))
        for centre in (0.1, 0.3)
    )
    assert verdict(fast, "api.auth.latency") == "met"
    assert verdict(slow, "api.auth.latency") == "missed"
    assert verdict(fast, "api.auth.rps") == "met", "it held at the plan's rate"
    assert verdict(slow, "api.auth.rps") == "missed"


def test_an_average_that_only_grows_is_none_unless_it_is_too_long_already() -> None:
    growing = row(*[made_load(50, np.linspace(0.001, 0.18, 1_000))] * 3)
    assert isinstance(growing.mean, NotEstimable)
    assert "90 ms so far, and growing" in growing.mean.reason
    assert verdict(growing, "api.auth.latency") == "cannot tell"
    long = row(*[made_load(50, np.linspace(0.3, 0.9, 1_000))] * 3)
    assert verdict(long, "api.auth.latency") == "missed"


def test_what_the_generator_spoilt_is_void_and_never_a_verdict() -> None:
    spoilt = row(*(made_load(50, [0.1] * 200, late_s=LATE_S) for _ in range(3)))
    assert spoilt.void
    assert verdict(spoilt, "api.auth.latency") == "void"
    assert verdict(spoilt, "api.auth.rps") == "void"
    below = made_load(12, [0.1] * 200)
    assert verdict(row(*spoilt.loads, probes=(below,)), "api.auth.rps") == "void"
    failed = made_load(12, [0.4] * 200)
    assert verdict(row(*spoilt.loads, probes=(failed,)), "api.auth.rps") == "void"


class Generator:
    """Puts loads on for ``measure_rows``: late for a number of times, at every rate the same."""

    def __init__(self, late: int) -> None:
        self.late = late
        self.rates: list[float] = []

    def put(
        self, _served: object, _traffic: object, rate_rps: float, _seconds: float, _seed: int
    ) -> Load:
        self.rates.append(rate_rps)
        late = len(self.rates) <= WARM_UPS + self.late
        return made_load(rate_rps, [0.1] * 200, late_s=LATE_S if late else 0.0)


WARM_UPS = 1


def rows_of(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> Row:
    monkeypatch.setattr(rows, "put_load", generator.put)
    served: Any = None
    (found,) = measure_rows(
        served, [TRAFFIC], load_claims(), some_sizes(repetitions=1, probes=2), 1
    )
    return found


def test_a_load_that_the_generator_spoilt_is_put_on_again(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Generator(late=TRIES - 1)
    found = rows_of(generator, monkeypatch)
    assert (len(found.loads), found.void) == (1, "")
    assert generator.rates[WARM_UPS:] == [50] * TRIES + [200, 800]


def test_a_rate_that_the_generator_never_kept_is_void_and_ends_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = Generator(late=100)
    found = rows_of(generator, monkeypatch)
    assert found.void
    assert not found.probes
    assert generator.rates[WARM_UPS:] == [50] * TRIES
    assert verdict(found, "api.auth.rps") == "void"


@pytest.mark.filterwarnings("error")
def test_where_every_load_is_void_the_plot_is_empty_and_says_how_many_keep_the_promise() -> None:
    spoilt = row(made_load(50, [0.1] * 200, late_s=LATE_S))
    axes = reach_plot([spoilt]).axes[0]
    assert not axes.lines
    assert "0 of 1" in axes.get_title(loc="left")
    assert "(1 void)" in axes.get_title(loc="left")


def test_a_void_category_is_not_drawn_and_told_from_a_missed_one() -> None:
    def of(label: str, *loads: Load, probes: tuple[Load, ...] = ()) -> Row:
        traffic = Traffic("auth", label, PEOPLE, lambda n, p: _login(n, p, "x"), about="logins")
        return dataclasses.replace(row(*loads, probes=probes), traffic=traffic)

    below, late = made_load(12, [0.1] * 200), made_load(12, [0.1] * 200, late_s=LATE_S)
    slow = made_load(50, [0.4] * 200)
    rows = [
        of("met", made_load(50, [0.1] * 200)),
        of("missed", slow, probes=(below,)),
        of("void", made_load(50, [0.1] * 200, late_s=LATE_S), probes=(below,)),
        of("ended", slow, probes=(late,)),
    ]
    axes = reach_plot(rows).axes[0]
    _lines, drawn = axes.get_legend_handles_labels()
    assert drawn == ["met", "missed", "ended"]
    title = " ".join(axes.get_title(loc="left").split())
    assert title.startswith("1 of 4 categories")
    assert title.endswith("(2 void)")


def test_the_search_goes_by_repetitions_that_say_something() -> None:
    spoilt = made_load(50, [0.01] * 200, late_s=LATE_S)
    good = made_load(50, [0.1] * 200)
    assert row(spoilt, spoilt, good).searched == (good,)


def test_a_rate_that_held_is_met_even_if_the_generator_gave_up_above_it() -> None:
    good = [made_load(50, [0.1] * 200)] * 3
    above = made_load(200, [0.1] * 200, late_s=LATE_S)
    found = row(*good, probes=(above,))
    assert found.by_mean.lower == 50
    assert capacity(found.by_mean) == Interval(50, 50, 50)
    assert verdict(found, "api.auth.rps") == "met"
    failed = made_load(200, [0.4] * 200)
    assert capacity(row(*good, probes=(failed,)).by_mean) == Interval(
        50, 50, math.nextafter(200, 0)
    )


def test_refusals_are_told_with_the_result() -> None:
    loads = [made_load(50, [0.1] * 100, status=[200] * 99 + [503]) for _ in range(3)]
    told = judged(row(*loads))["api.auth.latency"].warnings
    assert told == (
        "3 of 300 requests had no good answer; each counts as the 5 s after which a client gives"
        " up",
    )


def test_tables_show_brackets_and_reasons() -> None:
    loads = [made_load(50, [0.1] * 100)] * 3
    found = [row(*loads, probes=(made_load(200, [0.4] * 100),))]
    assert list(reach_table(found).shown.iloc[0]) == [
        "Authentication", "50", "200", "50 … 200", "50 … 200", "the promised average",
    ]  # fmt: skip
    assert rows_table(found).shown["void because"].tolist() == [""]
    assert rows_frame(found)["mean"].tolist() == pytest.approx([100])
    assert probes_frame(found)["rate_rps"].tolist() == [50, 50, 50, 200]


@pytest.mark.parametrize(
    ("latencies", "finding"),
    [
        (np.full(1_600, 0.01), "flat"),
        (np.linspace(0.01, 0.05, 1_600), "rising"),
        (np.linspace(0.05, 0.01, 1_600), "falling"),
    ],
)
def test_drift_over_a_long_load_is_told(latencies: Any, finding: str) -> None:
    noise = np.random.default_rng(5).normal(0, 1e-5, len(latencies))
    steady = Steady(reading(latencies + noise), 10)
    assert steady.finding == finding
    assert len(steady.frame()) == 2 * WINDOWS
    assert (steady.good, steady.others) == (1_600, 0)


def test_the_settling_at_the_beginning_is_no_drift() -> None:
    latencies = np.full(1_600, 0.01) + np.random.default_rng(7).normal(0, 1e-5, 1_600)
    latencies[: 100 * SETTLING] += 0.05
    assert Steady(reading(latencies), 10).finding == "flat"
    latencies[: 100 * (SETTLING + 1)] += 0.05
    assert Steady(reading(latencies), 10).finding != "flat"


def test_drift_that_is_lost_in_noise_is_neither_claimed_nor_denied() -> None:
    # windows of a hundred requests that jump up and down
    jumps = np.repeat(np.random.default_rng(6).choice([0.01, 0.03], WINDOWS), 100)
    assert Steady(reading(jumps), 10).finding == "not shown to be flat"


def test_only_answers_of_the_right_status_count_into_throughput() -> None:
    mixed = reading([0.01] * 4, status=[200, 200, 304, 429])
    assert Crowd("pages", 200, (mixed,)).answers == 2
    assert Crowd("pages", 200, (mixed,)).others == 2
    assert Crowd("304", 304, (mixed,)).answers == 1
    whole = Crowd("pages", 200, (reading([0.01] * 1_000),) * 3).per_s
    half = Crowd("pages", 200, (reading([0.01] * 1_000, status=[200, 429] * 500),) * 3).per_s
    assert isinstance(whole, Interval)
    assert isinstance(half, Interval)
    assert half.estimate == pytest.approx(whole.estimate / 2)


@pytest.mark.parametrize(
    ("every_s", "latency_s", "late_s", "verdicts"),
    [
        (1 / 14_000, 0.02, 0.0, ["met", "met"]),
        (1 / 11_000, 0.03, 0.0, ["missed", "missed"]),
        (1 / 14_000, 0.02, LATE_S, ["void", "void"]),
    ],
)
def test_the_labs_own_targets_are_judged_by_its_rule(
    every_s: float, latency_s: float, late_s: float, verdicts: list[str]
) -> None:
    loads = (reading([latency_s] * 20_000, late_s=late_s, every_s=every_s),) * 3
    found = Throughput((Crowd(PAGES, 200, loads),), (Crowd("open", 200, loads),), 1)
    rate, wait = judge_throughput(found)
    assert [rate.verdict.word, wait.verdict.word] == verdicts
    assert (rate.target.target, wait.target.target) == (12_000, 25)
    assert found.of(PAGES).per_s == rate.measured


@pytest.mark.parametrize(("spoilt", "asked"), [(0, 1), (2, 3), (9, TRIES)])
def test_a_load_that_is_void_is_put_on_again_a_few_times(spoilt: int, asked: int) -> None:
    loads = [reading([0.01] * 100, late_s=LATE_S * (number < spoilt)) for number in range(10)]
    waiting = iter(loads)
    assert unspoilt(lambda: next(waiting)) is loads[asked - 1]


def test_everybody_has_their_turn_and_no_address_logs_in_too_often() -> None:
    people = [Person(number, f"p{number}@x.test", 1, "t") for number in range(5)]
    traffic = Traffic("auth", "A", people, lambda n, p: _login(n, p, "secret"), about="")
    requests = [*traffic.take(30), *traffic.take(30)]
    addresses = [dict(request.headers)["X-Forwarded-For"] for request in requests]
    counts = {address: addresses.count(address) for address in addresses}
    assert max(counts.values()) == LOGINS_EACH <= 10
    who = [request.body.partition(b"@")[0] for request in requests]
    assert who[:5] == who[5:10]
    assert len(set(who[:5])) == 5


def test_the_mix_of_tasks_is_what_the_table_says() -> None:
    requests: list[Request] = Traffic("tasks", "T", PEOPLE, _task, about="").take(100)
    kinds = [
        f"{one.method} {one.target.partition('?')[0].rstrip('0123456789')}" for one in requests
    ]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "GET /tasks": 60, "GET /tasks/": 20, "POST /tasks": 10, "PATCH /tasks/": 10,
    }  # fmt: skip


def test_a_rate_at_which_the_wait_grows_fails_however_low_its_average_is() -> None:
    growing = made_load(200, np.linspace(0.001, 0.15, 1_000))
    assert growing.mean_ms < 200
    found = row(*[made_load(50, [0.1] * 200)] * 3, probes=(growing,))
    assert found.by_mean.upper == 200
    assert reach_table([found]).shown["ended by"].tolist() == ["requests outran the server"]
