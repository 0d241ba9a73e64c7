"""Samples: identities, exact percentiles, and whether the generator was the limit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perflab.load import OUTCOMES, LoadError, LoadSamples

ANSWERED, DROPPED = OUTCOMES.index("answered"), OUTCOMES.index("dropped")


def made(
    pacing_s: Any = (0.0,),
    service_s: Any = 0.1,
    *,
    waiting_s: Any = 0.0,
    outcome: Any = ANSWERED,
    **facts: Any,
) -> LoadSamples:
    """Samples of requests due every millisecond."""
    pacing = np.atleast_1d(np.asarray(pacing_s, dtype=np.float64))
    n = len(pacing)
    scheduled = np.arange(n, dtype=np.float64) * 1e-3
    codes = np.broadcast_to(np.asarray(outcome, dtype=np.int8), n).copy()
    started = np.where(codes == DROPPED, np.nan, scheduled + pacing + waiting_s)
    known: dict[str, Any] = {
        "kind": "open",
        "window_s": n * 1e-3,
        "busy_share": 0.1,
        "began_unix_s": 0.0,
    }
    return LoadSamples(
        scheduled_s=scheduled,
        taken_s=scheduled + pacing,
        started_s=started,
        ended_s=started + service_s,
        status=np.where(codes == ANSWERED, 200, 0).astype(np.int16),
        body_bytes=np.zeros(n, dtype=np.int64),
        outcome=codes,
        **(known | facts),
    )


times = hnp.arrays(np.float64, st.shared(st.integers(1, 60), key="n"), elements=st.floats(0, 10))
codes = hnp.arrays(
    np.int8, st.shared(st.integers(1, 60), key="n"), elements=st.integers(0, len(OUTCOMES) - 1)
)


@given(times, times, times, codes)
def test_latency_is_lateness_and_service_and_each_request_is_counted_once(
    pacing: Any, waiting: Any, service: Any, outcome: Any
) -> None:
    samples = made(pacing, service, waiting_s=waiting, outcome=outcome)
    np.testing.assert_allclose(samples.latency_s, samples.lateness_s + samples.service_s, atol=1e-9)
    assert (samples.lateness_s[outcome != DROPPED] >= samples.pacing_s[outcome != DROPPED] - 1e-9
            ).all()  # fmt: skip
    counted = int(samples.answered.sum()) + sum(samples.errors.values()) + samples.dropped
    assert counted == samples.scheduled == len(samples)
    assert sum(samples.statuses.values()) == int(samples.answered.sum())


@given(st.lists(st.floats(0, 10), min_size=1, max_size=200), st.floats(0, 1))
def test_percentile_is_the_smallest_sample_that_enough_do_not_exceed(
    service: list[float], q: float
) -> None:
    samples = made(np.zeros(len(service)), np.array(service))
    values = samples.service_s
    (found,) = samples.percentiles_s([q], "service")
    assert found in values
    assert (values <= found).sum() >= q * len(values) - 1e-6
    assert (values < found).sum() < max(q * len(values), 1)


def test_percentiles_forgive_the_rounding_of_ranks() -> None:
    samples = made(np.zeros(100), np.arange(1, 101))
    found = samples.percentiles_s([0.07, 0.5, 0.95, 0.99, 1.0], "service")
    np.testing.assert_allclose(found, [7, 50, 95, 99, 100])


def test_failed_and_dropped_requests_have_no_part_in_latency() -> None:
    outcome = [ANSWERED, OUTCOMES.index("timeout"), DROPPED]
    samples = made(np.zeros(3), np.array([1.0, 5.0, 9.0]), outcome=outcome)
    np.testing.assert_allclose(samples.percentiles_s([0, 1]), [1, 1])
    assert samples.errors == {"connect": 0, "timeout": 1, "reset": 0, "protocol": 0}
    assert samples.dropped == 1


@pytest.mark.parametrize("quantiles", [[-0.1], [1.1], [math.nan]])
def test_quantile_out_of_range_is_refused(quantiles: list[float]) -> None:
    with pytest.raises(LoadError, match=r"^quantiles: "):
        made().percentiles_s(quantiles)


def test_generator_that_is_on_time_is_not_the_limit() -> None:
    samples = made(np.full(200, 0.0099), service_s=1.0)
    assert not samples.saturated
    assert samples.void_reason == ""


def test_lateness_above_ten_milliseconds_voids_a_slow_run() -> None:
    samples = made(np.full(200, 0.0101), service_s=1.0)
    assert samples.saturated
    assert "10.1 ms late (at most 10 ms)" in samples.void_reason


def test_lateness_above_a_tenth_of_the_median_voids_a_fast_run() -> None:
    late = np.zeros(1000)
    late[:11] = 0.0021
    assert "at most 2 ms" in made(late, service_s=0.02).void_reason
    late[10] = 0
    assert not made(late, service_s=0.02).saturated, "one in a hundred may be late"


def test_lateness_below_a_millisecond_voids_nothing_however_fast_the_answers() -> None:
    """A tenth of 0.2 ms is more than a shared machine keeps, and nobody would notice it."""
    late = np.full(200, 0.0009)
    assert not made(late, service_s=0.0002).saturated
    assert not made(late, service_s=0.005).saturated
    assert "at most 1 ms" in made(late + 0.0002, service_s=0.0002).void_reason


def test_waiting_for_a_connection_is_the_servers_doing() -> None:
    samples = made(np.zeros(200), service_s=0.01, waiting_s=3.0)
    assert float(samples.percentiles_s([0.99], "lateness")[0]) == pytest.approx(3)
    assert not samples.saturated


def test_busy_generator_voids_the_run() -> None:
    assert not made(busy_share=0.90).saturated
    samples = made(busy_share=0.93)
    assert samples.saturated
    assert "busy for 93%" in samples.void_reason


def test_late_generator_voids_a_run_without_answers() -> None:
    dead = made(np.full(200, 0.02), outcome=OUTCOMES.index("connect"))
    assert dead.saturated
    assert not made(np.zeros(200), outcome=OUTCOMES.index("connect")).saturated


def test_throughput_of_an_open_load_counts_up_to_the_last_end() -> None:
    samples = made(np.zeros(1000), service_s=0.0)
    assert samples.throughput_per_s == pytest.approx(1000)
    slow = made(np.zeros(1000), service_s=1.001)
    assert slow.throughput_per_s == pytest.approx(500)


def test_throughput_of_a_closed_load_counts_what_ended_in_its_window() -> None:
    samples = made(np.zeros(1000), service_s=0.5, kind="closed", window_s=1.0)
    assert samples.throughput_per_s == pytest.approx(501, abs=1)


def test_selection_keeps_rows_together() -> None:
    samples = made(np.zeros(4), kept_header=(b"a", None, b"c", b"d"))
    kept = samples.select(samples.scheduled_s >= 0.0015)
    assert kept.kept_header == (b"c", b"d")
    assert len(kept) == len(kept.frame()) == 2
    np.testing.assert_array_equal(kept.scheduled_s, samples.scheduled_s[2:])
    with pytest.raises(LoadError, match=r"^keep: must be 4 booleans"):
        samples.select(np.array([0, 1]))


def test_frame_has_a_row_a_request() -> None:
    frame = made(np.zeros(3), outcome=[ANSWERED, 2, DROPPED], kept_header=(b"hit", None, None))
    table = frame.frame()
    assert table["outcome"].tolist() == ["answered", "timeout", "dropped"]
    assert table["kept_header"].tolist()[0] == "hit"
    assert pd.isna(table["latency_s"]).tolist() == [False, False, True]
