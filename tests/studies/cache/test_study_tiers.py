"""Hit ratios: real tiers, virtual time and formulas tell the same story of the same requests."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cache_study import some_sizes, traced
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.cache.ledger import PolicyStats
from perflab.cache.policies.synthetic import zipf_popularities
from perflab.measure.statistics import Interval, NotEstimable
from perflab.services import Redis
from perflab.studies.cache import tiers
from perflab.studies.cache.driving import poisson_s
from perflab.studies.cache.tiers import (
    POLICY,
    TierRun,
    combined_ratio,
    memory_ratio,
    needed_frame,
    predict,
    rate_needed,
    redis_ratio,
    tier_frame,
)
from perflab.studies.cache.virtual import replay
from perflab.studies.cache.workload import Floats, Values, Workload, synthetic

AGREE = 0.05
"""Real tiers against virtual time on the same requests, as a share of all requests: what lookups
take is not nothing beside a lifetime, and Redis draws another jitter."""


@pytest.fixture(scope="module")
def workload() -> Workload:
    return synthetic(400, 1.0, 11)


@pytest.fixture(scope="module")
def memory_run(workload: Workload, redis_server: Redis) -> TierRun:
    return tiers.measure_memory(workload, redis_server, some_sizes(memory_s=1.2))


@pytest.fixture(scope="module")
def tier_run(workload: Workload, redis_server: Redis) -> TierRun:
    """1,200 requests, lifetimes scaled by 300: 1 s in Redis, 1 ms in memory."""
    sizes = some_sizes(rate_rps=2.0, driven_rps=600.0, windows=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiers, "_capacity_rps", capacity(1e9))
        return tiers.measure_tiers(workload, redis_server, sizes)


def capacity(rps: float) -> Callable[..., Awaitable[float]]:
    """What a machine would be found to sustain."""

    async def found(*_args: object) -> float:
        return rps

    return found


def without_load(stats: PolicyStats) -> float:
    """The share of requests that caused no load.

    Unlike hits, these have those among them that came while a load was under way: in virtual
    time a load takes none, so they are hits there.
    """
    return 1 - stats.loader.hits / stats.requests


# --- the real tiers --------------------------------------------------------------------------


@pytest.mark.serial
@pytest.mark.parametrize("name", ["memory_run", "tier_run"])
def test_every_request_is_answered_with_its_own_value_and_is_in_one_window(
    name: str, workload: Workload, request: pytest.FixtureRequest
) -> None:
    run: TierRun = request.getfixturevalue(name)
    codes = workload.first(len(run.drive.answers)).tolist()
    values = Values(workload.seed)
    assert run.drive.failed == 0
    assert list(run.drive.answers) == [values.of(code) for code in codes]
    assert sum(window.stats.requests for window in run.drive.windows) == len(codes)
    assert run.ledger.total.requests == len(codes)
    assert [stats.policy for stats in run.ledger.policies] == [POLICY.name]


@pytest.mark.serial
@pytest.mark.parametrize("name", ["memory_run", "tier_run"])
def test_the_ledger_adds_up_in_every_window_and_the_windows_to_the_whole(
    name: str, request: pytest.FixtureRequest
) -> None:
    run: TierRun = request.getfixturevalue(name)
    windows = [window.stats for window in run.drive.windows]
    whole = run.ledger.total
    for stats in (*windows, whole):
        assert stats.imbalances() == []
        assert stats.loader.misses == 0
        for tier in (stats.memory, stats.redis, stats.loader):
            assert tier.hits >= 0
            assert tier.misses >= 0
    for part in ("memory", "redis", "loader"):
        for column in ("hits", "stale_hits", "misses", "coalesced", "bypassed", "bytes"):
            total = sum(getattr(getattr(stats, part), column) for stats in windows)
            assert total == getattr(getattr(whole, part), column), (part, column)
    assert whole.redis.bypassed == 0, "Redis answered in time"


@pytest.mark.serial
@pytest.mark.parametrize("name", ["memory_run", "tier_run"])
def test_a_cold_part_comes_first_and_the_windows_after_it_are_of_equal_size(
    name: str, request: pytest.FixtureRequest
) -> None:
    run: TierRun = request.getfixturevalue(name)
    cold, *warm = [window.stats.requests for window in run.drive.windows]
    assert len(warm) == {"memory_run": 3, "tier_run": 4}[name]
    assert tuple(stats.requests for stats in run.warm) == tuple(warm)
    assert run.cold.requests == cold
    # a request under way at a boundary is entered in the window in which it ends
    assert max(warm) - min(warm) < 0.2 * max(warm)
    assert run.percent(combined_ratio).estimate > 100 * combined_ratio(run.cold)  # type: ignore[union-attr]


@pytest.mark.serial
def test_memory_is_measured_in_real_time_and_both_tiers_scaled(
    memory_run: TierRun, tier_run: TierRun
) -> None:
    assert (memory_run.rate_rps, memory_run.factor) == (tiers.PLAN_RPS, 1.0)
    assert (tier_run.rate_rps, tier_run.factor) == (2.0, 300.0)
    assert tier_run.drive.windows[1].start_s == pytest.approx(POLICY.ttl_s / 300, rel=0.2), (
        "one lifetime is cold"
    )
    assert memory_run.drive.seconds == pytest.approx(1.2, abs=0.3)


@pytest.mark.serial
def test_the_real_memory_hits_as_often_as_in_virtual_time(memory_run: TierRun) -> None:
    measured = np.mean([memory_ratio(stats) for stats in memory_run.warm])
    assert measured == pytest.approx(memory_run.virtual.memory_ratio, abs=AGREE)
    assert 0.3 < measured < 0.95


@pytest.mark.serial
def test_the_real_tiers_load_as_often_as_in_virtual_time(tier_run: TierRun) -> None:
    measured = np.mean([without_load(stats) for stats in tier_run.warm])
    assert measured == pytest.approx(tier_run.virtual.combined_ratio, abs=AGREE)
    assert 0.3 < measured < 0.95
    for stats in tier_run.warm:
        assert stats.memory.hits + stats.redis.hits + stats.loader.hits <= stats.requests


@pytest.mark.serial
def test_without_scaling_the_lifetimes_the_real_tiers_would_hit_more(
    workload: Workload, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the agreement above is worth: the mistake that it would find."""
    monkeypatch.setattr(tiers, "scaled", lambda policy, factor: policy)
    monkeypatch.setattr(tiers, "_capacity_rps", capacity(1e9))
    sizes = some_sizes(rate_rps=2.0, driven_rps=1_000.0, windows=2)
    run = tiers.measure_tiers(workload, redis_server, sizes)
    measured = np.mean([without_load(stats) for stats in run.warm])
    assert measured > run.virtual.combined_ratio + AGREE


@pytest.mark.serial
def test_a_machine_that_cannot_keep_the_pace_is_driven_more_slowly(
    workload: Workload, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "_capacity_rps", capacity(2_000.0))
    sizes = some_sizes(rate_rps=2.0, driven_rps=50_000.0, windows=1)
    run = tiers.measure_tiers(workload, redis_server, sizes)
    assert 2.0 * run.factor < 2_000
    assert run.drive.failed == 0


@pytest.mark.serial
def test_what_a_machine_can_sustain_is_measured_with_requests_that_are_answered(
    workload: Workload, redis_server: Redis
) -> None:
    codes = workload.first(300)
    began = time.perf_counter()
    found = asyncio.run(tiers._capacity_rps(workload, redis_server, codes))
    assert found >= len(codes) / (time.perf_counter() - began)


@pytest.mark.serial
def test_a_row_of_the_frame_says_what_the_runs_say(memory_run: TierRun, tier_run: TierRun) -> None:
    frame = tier_frame(memory_run, tier_run).set_index("what")
    assert list(frame.index) == [
        "memory, of its lookups",
        "Redis, of what memory missed",
        "combined, of all requests",
    ]
    memory, redis, combined = (frame.iloc[n] for n in range(3))
    assert (memory["rate_rps"], redis["rate_rps"], combined["factor"]) == (1_000, 2, 300)
    interval = tier_run.percent(combined_ratio)
    assert isinstance(interval, Interval)
    assert combined["measured"] == interval.estimate
    assert interval.lo < interval.estimate < interval.hi
    assert redis["cold"] == pytest.approx(100 * redis_ratio(tier_run.cold))
    assert combined["late"] == 100 * tier_run.drive.late_share
    # what Redis hits of what memory missed, and memory's own hits, make the combined ratio
    for column, first in (
        ("virtual", tier_run.virtual.memory_ratio),
        ("predicted", tier_run.predicted_memory),
    ):
        made = 100 * first + (1 - first) * redis[column]
        assert made == pytest.approx(combined[column])
    assert memory["predicted"] == pytest.approx(100 * memory_run.predicted_memory)


def test_a_trace_of_a_few_lines_has_no_interval_and_no_error(
    tmp_path: Path, redis_server: Redis
) -> None:
    short = traced(tmp_path / "short.txt", "ababc")
    run = tiers.measure_memory(short, redis_server, some_sizes(memory_s=0.1, windows=9))
    assert run.ledger.total.requests == 5
    assert len(run.warm) == 9
    assert isinstance(run.percent(memory_ratio), NotEstimable)


# --- formulas --------------------------------------------------------------------------------


def lru_with_ttl(codes: list[int], at_s: list[float], size: int, ttl_s: float) -> list[bool]:
    """Who hits an LRU of ``size`` entries, each good for ``ttl_s`` after its load."""
    held: OrderedDict[int, float] = OrderedDict()
    hits = []
    for code, now in zip(codes, at_s, strict=True):
        hits.append(held.get(code, -1.0) > now)
        if not hits[-1]:
            held[code] = now + ttl_s
        held.move_to_end(code)
        if len(held) > size:
            held.popitem(last=False)
    return hits


@pytest.mark.parametrize("entries", [15, 60])
@pytest.mark.parametrize("alpha", [0.5, 1.2])
def test_the_prediction_is_what_a_simulation_of_the_same_rules_gives(
    entries: int, alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is an LRU with a TTL: with 15 entries for lack of room, with 60 by time alone."""
    monkeypatch.setattr(tiers, "MEMORY_ENTRIES", entries)
    policy = msgspec.structs.replace(POLICY, ttl_s=40.0, memory_ttl_s=1.5)
    shares, rate, count = zipf_popularities(150, alpha), 30.0, 9_000
    memory, combined = [], []
    for seed in range(5):
        codes = synthetic(150, alpha, seed).first(count)
        at_s = poisson_s(count, rate, seed)
        settled = at_s >= 100.0
        hits = np.array(lru_with_ttl(codes.tolist(), at_s.tolist(), entries, policy.memory_ttl_s))
        memory.append(hits[settled].mean())
        there = replay(codes, at_s, ttl_s=policy.ttl_s, memory_ttl_s=1e-9, seed=seed)
        combined.append(there.after(100.0).combined_ratio)
    found = predict(shares, rate, policy)
    for predicted, simulated in zip(found, (memory, combined), strict=True):
        error = np.std(simulated, ddof=1) / math.sqrt(len(simulated))
        # Che's approximation itself is good to half a percent here
        assert abs(np.mean(simulated) - predicted) < 4 * error + 0.005
    assert found[0] < found[1]


SHARES = st.builds(zipf_popularities, st.integers(2, 1_500), st.floats(0, 2))


@settings(max_examples=15, deadline=None)
@given(SHARES, st.floats(0.05, 0.95), st.booleans())
def test_at_the_rate_needed_the_prediction_is_the_promise(
    shares: Floats, promised: float, memory: bool
) -> None:
    rate = rate_needed(shares, promised, memory=memory)
    which = 0 if memory else 1
    if rate == math.inf:
        assert predict(shares, 1e7)[which] < promised
        assert memory or promised > 0.9999
    elif rate <= 1.001e-3:
        assert predict(shares, 1e-3)[which] >= promised
    else:
        assert predict(shares, rate)[which] == pytest.approx(promised, abs=1e-3)
        assert predict(shares, rate * 1.1)[which] > promised


def test_no_rate_is_enough_for_a_memory_that_is_too_small() -> None:
    uniform = zipf_popularities(10 * tiers.MEMORY_ENTRIES, 0.0)
    assert rate_needed(uniform, 0.2, memory=True) == math.inf
    assert rate_needed(uniform, 0.2, memory=False) < math.inf
    assert rate_needed(uniform, 1.0, memory=False) == math.inf, "the first request misses"


def test_a_promise_that_holds_at_any_rate_needs_next_to_none() -> None:
    one_key = np.ones(1)
    assert rate_needed(one_key, 0.1, memory=False) == pytest.approx(1e-3)
    assert rate_needed(one_key, 0.0, memory=True) == pytest.approx(1e-3)


def test_hit_ratios_grow_with_the_rate_and_virtual_time_reaches_as_far_as_it_can() -> None:
    workload = synthetic(300, 1.0, 2)
    frame = tiers.measure_rates(workload, some_sizes(virtual_requests=28_000))
    assert list(frame.columns) == ["rate_rps", "series", "percent"]
    by_series = {name: part.set_index("rate_rps")["percent"] for name, part in
                 frame.groupby("series")}  # fmt: skip
    assert set(by_series) == {
        f"{tier}, {how}" for tier in ("memory", "combined") for how in ("formula", "virtual time")
    }
    for name, percent in by_series.items():
        assert percent.is_monotonic_increasing, name
        assert percent.between(0, 100).all()
        assert list(percent.index) == ([1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000]
                                       if "formula" in str(name) else [1, 3, 10, 30])  # fmt: skip
    for tier in ("memory", "combined"):
        formula, virtual = by_series[f"{tier}, formula"], by_series[f"{tier}, virtual time"]
        assert (virtual - formula).abs().dropna().max() < 6
    assert (by_series["combined, formula"] >= by_series["memory, formula"]).all()


def test_a_traces_shares_are_counted_from_all_its_requests_at_every_rate(tmp_path: Path) -> None:
    """From 900 requests of a slow rate alone, keys that came once would count as regulars."""
    keys = synthetic(5_000, 0.8, 6).first(20_000).tolist()
    trace = traced(tmp_path / "t.txt", keys)
    frame = tiers.measure_rates(trace, some_sizes(virtual_requests=20_000))
    slow = frame[frame["rate_rps"] == 1].set_index("series")["percent"]
    few = predict(trace.shares(trace.first(900)), 1.0)
    assert 100 * few[1] > slow["combined, virtual time"] + 10
    assert slow["combined, formula"] == pytest.approx(slow["combined, virtual time"], abs=5)


def test_the_more_skewed_the_requests_the_lower_the_rates_that_claims_need() -> None:
    workload = synthetic(800, 0.9, 1)
    frame = needed_frame(workload, 0.6, 0.85)
    assert list(frame["skew"]) == ["alpha 0.63", "alpha 0.9", "alpha 1.21", "alpha 1.51"]
    for column in ("memory", "combined"):
        assert frame[column].is_monotonic_increasing
        assert frame[f"{column}_needs"].is_monotonic_decreasing
    more = needed_frame(workload, 0.7, 0.9)
    assert (more["memory_needs"] > frame["memory_needs"]).all()
    assert (more["combined_needs"] > frame["combined_needs"]).all()
    own = frame.set_index("skew").loc["alpha 0.9"]
    memory, combined = predict(zipf_popularities(800, 0.9), tiers.PLAN_RPS)
    assert (own["memory"], own["combined"]) == pytest.approx((100 * memory, 100 * combined))


def test_of_a_trace_there_is_one_skew_its_own(tmp_path: Path) -> None:
    frame = needed_frame(traced(tmp_path / "mine.txt", "abacabad" * 20), 0.6, 0.85)
    assert list(frame["skew"]) == ["mine.txt (keys)"]
    assert predict(np.array([4, 2, 1, 1]) / 8, tiers.PLAN_RPS)[0] == pytest.approx(
        frame["memory"].iloc[0] / 100
    )
