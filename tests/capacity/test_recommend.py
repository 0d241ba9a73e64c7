"""Advice: a rule speaks at its figure, is silent beside it, and the best value comes first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perflab.capacity.recommend import Cached, Evidence, Pooled, Recommendation, Shares, recommend
from perflab.capacity.scalability import NotFitted, Parameters, fit
from perflab.measure.statistics import Interval

LOADS = (1, 2, 4, 8, 16, 32, 64)
QUIET = Evidence(
    needed_rps=500.0,
    core_rps=Interval(800.0, 800.0, 900.0),
    p95_ms=40.0,
    promised_ms=150.0,
    shares=Shares(server=0.5, postgres=0.05, redis=0.05),
    scalability=NotFitted("too few loads"),
    cached=Cached(hit_ratio=0.9, with_rps=1000.0, without_rps=400.0),
    pooled=Pooled(size=16, waited=0.0, wait_ms=0.0),
    generator=0.2,
)


def only(evidence: Evidence) -> Recommendation:
    (advice,) = recommend(evidence)
    return advice


def test_nothing_that_speaks_is_nothing_to_recommend() -> None:
    assert recommend(QUIET) == ()
    bare = Evidence(needed_rps=1.0, core_rps=Interval(2.0, 2.0, 2.0), p95_ms=1.0, promised_ms=2.0)
    assert recommend(bare) == ()


def test_more_than_a_core_holds_asks_for_more_processes() -> None:
    advice = only(replace(QUIET, needed_rps=2000.0))
    assert advice.what.startswith("run 3 server processes")
    assert "2,000 requests/s are asked for and one core holds 800" in advice.because
    assert advice.gain == pytest.approx(1.5)
    assert recommend(replace(QUIET, needed_rps=800.0)) == ()


def test_a_core_shared_with_the_stores_gains_what_they_take() -> None:
    advice = only(replace(QUIET, shares=Shares(server=0.6, postgres=0.2, redis=0.1)))
    assert "machines of their own" in advice.what
    assert "33% of the work on a core that is 90% busy" in advice.because
    assert advice.gain == pytest.approx(0.5)
    idle = replace(QUIET, shares=Shares(server=0.4, postgres=0.2, redis=0.1))
    assert recommend(idle) == (), "a core with time to spare is not the limit"


def test_postgres_at_most_of_the_work_points_to_its_statements() -> None:
    found = recommend(replace(QUIET, shares=Shares(server=0.2, postgres=0.7, redis=0.1)))
    advice = next(one for one in found if "statements" in one.what)
    assert "PostgreSQL takes 70% of the work" in advice.because
    assert advice.gain == pytest.approx(1 / 0.65 - 1)


def test_an_event_loop_that_is_late_on_a_core_with_room_is_kept_by_something() -> None:
    idle = replace(QUIET, shares=Shares(server=0.3, postgres=0.05, redis=0.05), lag_ms=12.0)
    advice = only(idle)
    assert "12 ms late on average, on a core that is 40% busy" in advice.because
    assert advice.gain == pytest.approx(1.0)
    assert recommend(replace(idle, lag_ms=9.0)) == ()
    full = replace(idle, shares=Shares(server=0.8, postgres=0.01, redis=0.01))
    assert recommend(full) == (), "of a full core it is the consequence"


def test_few_hits_gain_what_better_ones_would_save() -> None:
    """A hit costs 1 ms and a miss 4 ms: at 50 % a request costs 2.5 ms, at 95 % 1.15 ms."""
    advice = only(replace(QUIET, cached=Cached(0.5, with_rps=400.0, without_rps=250.0)))
    assert "50% of the lookups hit" in advice.because
    assert advice.gain == pytest.approx(2.5 / 1.15 - 1)


def test_a_hit_that_costs_as_much_as_a_miss_is_no_reason_for_more_hits() -> None:
    assert recommend(replace(QUIET, cached=Cached(0.5, 400.0, 399.9999))) == ()


def test_a_cache_that_costs_more_than_it_saves_is_left_out() -> None:
    advice = only(replace(QUIET, cached=Cached(0.9, with_rps=400.0, without_rps=500.0)))
    assert advice.what.startswith("leave the cache out")
    assert advice.gain == pytest.approx(0.25)


def test_waiting_for_a_connection_beside_an_idle_core_asks_for_more_of_them() -> None:
    waiting = Pooled(size=4, waited=0.3, wait_ms=12.5)
    advice = only(replace(QUIET, pooled=waiting))
    assert "30% of the checkouts waited, 12.5 ms on average" in advice.because
    busy = replace(QUIET, pooled=waiting, shares=Shares(server=0.9, postgres=0.02, redis=0.02))
    assert recommend(busy) == (), "on a busy core more connections would wait for it instead"


def test_throughput_that_falls_beyond_the_peak_asks_for_a_bound() -> None:
    curve = Parameters(100.0, 0.02, 0.002)
    points = curve.at(np.array(LOADS, dtype=float))
    noise = np.random.default_rng(1).normal(0, 3, len(LOADS))
    advice = only(replace(QUIET, scalability=fit(LOADS, (points + noise).tolist(), resamples=99)))
    assert advice.what.startswith("answer at most 2")
    assert "κ = 0.002" in advice.because
    assert advice.gain == pytest.approx(curve.highest / float(points[-1]) - 1, rel=0.1)


def test_a_busy_generator_casts_doubt_on_the_limit() -> None:
    assert "80% of the time" in only(replace(QUIET, generator=0.8)).because


def test_the_most_gain_for_a_day_comes_first_and_every_advice_can_be_verified() -> None:
    found = recommend(
        replace(
            QUIET,
            needed_rps=1000.0,
            shares=Shares(server=0.3, postgres=0.6, redis=0.05),
            cached=Cached(0.5, 400.0, 250.0),
            generator=0.8,
        )
    )
    assert len(found) == 5
    values = [advice.value for advice in found]
    assert values == sorted(values, reverse=True)
    assert all(advice.verify and any(c.isdigit() for c in advice.because) for advice in found)


def test_a_gain_within_noise_is_not_recommended() -> None:
    shares = Shares(server=0.88, postgres=0.02, redis=0.01)
    assert recommend(replace(QUIET, shares=shares)) == ()
