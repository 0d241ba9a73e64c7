"""The first minute after a start, cold and warm, on the same requests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cache_study import some_sizes, traced

from perflab.measure.statistics import Interval, NotEstimable
from perflab.services import Redis
from perflab.studies.cache import warmth
from perflab.studies.cache.driving import drive
from perflab.studies.cache.warmth import Warmth, measure_warmth
from perflab.studies.cache.workload import synthetic

USERS = 25
MINUTE = 180
"""Requests of the minute."""


@pytest.fixture(scope="module", autouse=True)
def short() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warmth, "LASTS_S", 0.3)
        yield


@pytest.fixture(scope="module")
def measured(redis_server: Redis) -> Warmth:
    sizes = some_sizes(rate_rps=MINUTE / 60, driven_rps=4_000.0, warm_users=USERS, warm_rounds=3)
    return measure_warmth(synthetic(300, 1.0, 2), redis_server, sizes)


def test_the_same_requests_find_more_in_warm_tiers_than_in_cold_ones(measured: Warmth) -> None:
    for cold, warm in zip(measured.hits["cold"], measured.hits["warm"], strict=True):
        assert len(cold) == len(warm) == MINUTE
        assert 0 < cold.sum() < warm.sum() < MINUTE
    cold_ratio, warm_ratio = (measured.ratio(start) for start in ("cold", "warm"))
    assert isinstance(cold_ratio, Interval)
    assert isinstance(warm_ratio, Interval)
    assert cold_ratio.estimate + 5 < warm_ratio.estimate


def test_a_cold_start_begins_with_a_miss(measured: Warmth) -> None:
    assert not any(hits[0] for hits in measured.hits["cold"])


def test_each_warm_minute_is_preceded_by_the_warming_of_all_users(measured: Warmth) -> None:
    assert [r.loaded for r in measured.reports] == [USERS] * 3
    assert [(r.already, r.failed, r.skipped) for r in measured.reports] == [(0, 0, 0)] * 3


def test_the_frame_has_six_parts_of_each_minute_and_their_mean_is_the_minutes(
    measured: Warmth,
) -> None:
    frame = measured.frame()
    assert list(frame.columns) == ["start", "second", "percent", "percent_lo", "percent_hi"]
    for start in ("cold", "warm"):
        part = frame[frame["start"] == start]
        assert list(part["second"]) == [5, 15, 25, 35, 45, 55]
        row = measured.row(start)
        assert part["percent"].mean() == pytest.approx(row["percent"])
        assert row["minutes"] == 3
    cold = frame[frame["start"] == "cold"]["percent"]
    assert cold.iloc[0] < cold.iloc[-1], "it warms up by itself"


def test_the_minute_is_scaled_with_all_lifetimes(measured: Warmth) -> None:
    assert measured.rate_rps == MINUTE / 60
    assert measured.factor == 60 / warmth.LASTS_S


def test_each_round_has_requests_of_its_own_in_a_random_order_of_starts(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes: list[tuple[int, ...]] = []

    async def watched(request, codes, *rest):  # type: ignore[no-untyped-def]
        minutes.append(tuple(codes))
        return await drive(request, codes, *rest)

    monkeypatch.setattr(warmth, "drive", watched)
    monkeypatch.setattr(warmth, "LASTS_S", 0.02)
    sizes = some_sizes(rate_rps=1.0, driven_rps=40_000.0, warm_users=3, warm_rounds=3)
    workload = synthetic(300, 1.0, 2)
    measure_warmth(workload, redis_server, sizes)
    seen = workload.first(4 * 60)
    expected = [tuple(seen[n : n + 60].tolist()) for n in (0, 0, 60, 60, 120, 120)]
    assert minutes == expected, "and none of the last stretch, by which users were chosen"


def test_a_service_too_fast_to_be_imitated_is_imitated_at_a_lower_rate(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warmth, "LASTS_S", 0.1)
    sizes = some_sizes(rate_rps=500.0, driven_rps=800.0, warm_users=3, warm_rounds=1)
    found = measure_warmth(synthetic(50, 1.0, 2), redis_server, sizes)
    sent_rps = len(found.hits["cold"][0]) / warmth.LASTS_S
    assert sent_rps <= 800
    assert found.rate_rps == pytest.approx(sent_rps / found.factor)


# --- nothing of today is known yesterday -----------------------------------------------------


def test_of_users_with_equal_weight_those_are_warmed_who_came_first_yesterday(
    redis_server: Redis, tmp_path: Path
) -> None:
    """Not those who will come most often today: the ranks of the whole workload know that."""
    today = ["x"] * 60
    yesterday = [f"y{n}" for n in range(59)] + ["x"]  # each as often
    sizes = some_sizes(rate_rps=1.0, driven_rps=4_000.0, warm_users=1, warm_rounds=1)
    trace = traced(tmp_path / "t.txt", today + yesterday)
    found = measure_warmth(trace, redis_server, sizes)
    assert found.reports[0].loaded == 1
    assert not found.hits["warm"][0][0], "x was not warmed"


def test_users_with_many_requests_yesterday_are_warmed(redis_server: Redis, tmp_path: Path) -> None:
    today = ["x", "z"] * 30
    yesterday = [f"y{n}" for n in range(50)] + ["x"] * 10
    sizes = some_sizes(rate_rps=1.0, driven_rps=4_000.0, warm_users=1, warm_rounds=1)
    found = measure_warmth(traced(tmp_path / "t.txt", today + yesterday), redis_server, sizes)
    assert found.hits["warm"][0][0], "x was"
    assert not found.hits["warm"][0][1], "z was not"


def test_there_are_no_more_users_to_warm_than_came_yesterday(
    redis_server: Redis, tmp_path: Path
) -> None:
    today, yesterday = [f"x{n}" for n in range(60)], ["a", "b", "c"] * 20
    sizes = some_sizes(rate_rps=1.0, driven_rps=4_000.0, warm_users=1_000, warm_rounds=1)
    found = measure_warmth(traced(tmp_path / "t.txt", today + yesterday), redis_server, sizes)
    assert found.reports[0].loaded == 3


def test_of_a_short_trace_no_request_is_both_yesterdays_and_todays(
    redis_server: Redis, tmp_path: Path
) -> None:
    """Of 40 keys that come once nobody can know which ones come next."""
    sizes = some_sizes(rate_rps=1.0, driven_rps=4_000.0, warm_users=40, warm_rounds=3)
    found = measure_warmth(traced(tmp_path / "t.txt", range(40)), redis_server, sizes)
    assert [len(hits) for hits in found.hits["warm"]] == [10, 10, 10]
    assert np.sum(found.hits["warm"]) == 0
    assert found.rate_rps == 10 / 60


def test_a_trace_with_fewer_requests_than_stretches_has_no_figures_and_no_error(
    redis_server: Redis, tmp_path: Path
) -> None:
    found = measure_warmth(traced(tmp_path / "t.txt", "ab"), redis_server, some_sizes())
    assert found.hits == {"cold": [], "warm": []}
    assert isinstance(found.ratio("cold"), NotEstimable)
    assert found.frame()["percent"].isna().all()
