"""Figures computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from perflab.load import LoadSamples
from perflab.load.outcomes import ANSWERED, CONNECT, DROPPED, OUTCOMES, TIMEOUT
from perflab.load.scenarios.conditions import parse
from perflab.load.scenarios.figures import (
    CHECK,
    GOOD,
    REFUSED,
    STATUS,
    VERDICTS,
    figures_of,
    seconds_of,
    verdict_of,
)


def samples(scheduled: list[float], started: list[float], ended: list[float]) -> LoadSamples:
    count = len(scheduled)
    return LoadSamples(
        scheduled_s=np.array(scheduled),
        taken_s=np.array(scheduled),
        started_s=np.array(started),
        ended_s=np.array(ended),
        status=np.full(count, 200, dtype=np.int16),
        body_bytes=np.zeros(count, dtype=np.int64),
        outcome=np.zeros(count, dtype=np.int8),
        kind="open",
        window_s=1.0,
        busy_share=0.0,
        began_unix_s=0.0,
    )


def test_what_was_not_answered_keeps_the_name_that_the_engine_gave_it() -> None:
    own = [VERDICTS[code] for code in (GOOD, REFUSED, STATUS, CHECK)]
    assert own == ["good", "refused", "status", "check"]
    engines = range(CONNECT, len(OUTCOMES))
    assert [VERDICTS[verdict_of(code)] for code in engines] == [OUTCOMES[code] for code in engines]
    assert len(VERDICTS) == len(own) + len(engines)
    assert ANSWERED not in engines


def test_figures_of_five_requests() -> None:
    five = samples(
        [0.0, 0.1, 0.2, 1.2, 1.4], [0.0, 0.1, 0.3, 1.2, np.nan], [0.5, 0.2, 0.4, 1.9, np.nan]
    )
    failed = [verdict_of(TIMEOUT), verdict_of(DROPPED)]
    verdict = np.array([GOOD, GOOD, REFUSED, *failed], dtype=np.int8)
    figures = figures_of(five, verdict, begin_s=0.0, end_s=2.0)
    assert (figures.requests, figures.good, figures.refused) == (5, 2, 1)
    assert figures.errors == {"timeout": 1, "dropped": 1}
    assert figures.error_rate == 0.4
    assert figures.refused_share == 0.2
    assert figures.throughput_per_s == 1.0
    assert figures.peak_concurrency == 2, "0.0-0.5 with 0.1-0.2, which ends before 0.3-0.4"
    assert figures.latency.mean_ms == pytest.approx(300)
    assert figures.latency.max_ms == pytest.approx(500)
    assert figures.latency.p50_ms == pytest.approx(100)

    first, second = seconds_of(five, verdict, 2.0)
    assert (first.due, first.answered_well, first.refused, first.errors) == (3, 2, 1, 0)
    assert (second.due, second.answered_well, second.errors) == (2, 0, 2)
    assert math.isnan(second.p95_ms)
    assert first.p95_ms == pytest.approx(500)


def test_latency_counts_from_the_schedule_and_service_from_the_start() -> None:
    late = samples([0.0], [0.4], [0.5])
    figures = figures_of(late, np.array([GOOD], dtype=np.int8), begin_s=0, end_s=1)
    assert figures.latency.p99_ms == pytest.approx(500)
    assert figures.service.p99_ms == pytest.approx(100)


def test_percentiles_are_exact() -> None:
    ends = (np.arange(1000) + 1) / 1e3
    many = samples([0.0] * 1000, [0.0] * 1000, ends[::-1].tolist())
    times = figures_of(many, np.zeros(1000, dtype=np.int8), begin_s=0, end_s=1).latency
    assert (times.p50_ms, times.p90_ms, times.p95_ms, times.p99_ms) == pytest.approx(
        (500, 900, 950, 990)
    )


def test_answer_after_the_end_lowers_the_throughput() -> None:
    late = samples([0.0, 0.5], [0.0, 0.5], [0.1, 4.0])
    figures = figures_of(late, np.zeros(2, dtype=np.int8), begin_s=0, end_s=1)
    assert figures.throughput_per_s == 0.5


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("error_rate < 0.51", True),
        ("error_rate <= 0.5", True),
        ("error_rate < 0.5", False),
        ("requests >= 2", True),
        ("requests > 2", False),
        ("max_ms < 1e3", True),
    ],
)
def test_condition_on_figures(text: str, holds: bool) -> None:
    two = samples([0.0, 0.0], [0.0, 0.0], [0.1, 0.1])
    figures = figures_of(two, np.array([GOOD, CHECK], dtype=np.int8), begin_s=0, end_s=1)
    assert parse(text, set()).holds(figures) == holds
