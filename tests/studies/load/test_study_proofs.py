"""Proofs of the generator: a server that stops, and one whose delays are known."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from perflab.load import LoadSamples, Request, Target, run_open
from perflab.load.arrivals import constant
from perflab.measure.statistics import Interval
from perflab.report.not_run import NotRun
from perflab.studies.load import accuracy
from perflab.studies.load.held import HELD
from perflab.studies.load.stall import (
    CLOSED,
    CONNECTIONS,
    OPEN,
    SENT,
    holding,
    measure_stall,
)
from perflab.studies.load.views.proofs import (
    accuracy_table,
    agreement_table,
    stall_frame,
    stall_plot,
)


def test_open_load_shows_a_stall_that_a_closed_loop_hides() -> None:
    """Of 100 requests a second, those due while the server stood still waited for its end."""
    stall = measure_stall(1.5, 0.4)
    waited = stall.opened.latency_s > 0.1
    assert len(stall.opened) == 150
    assert waited.sum() >= 28, "those that were due in the first 0.3 s of the stall"
    late = stall.opened.latency_s[waited] + stall.opened.scheduled_s[waited]
    assert late.min() >= (1.5 - 0.4) / 2 + 0.35, "they were answered after its end"
    assert 1 <= (stall.closed.latency_s > 0.35).sum() <= 2, "one user had one request under way"
    assert (stall.opened.service_s > 0.35).sum() <= CONNECTIONS, "the others had not been sent"
    rows: dict[str, Any] = {row["way"]: row for row in stall_frame(stall).to_dict("records")}
    assert rows[OPEN]["p95"] > 200
    assert rows[SENT]["p95"] < rows[OPEN]["p95"]
    assert rows[CLOSED]["n"] < rows[OPEN]["n"]
    assert "meets the stall in 1 of" in stall_plot(stall).axes[0].get_title(loc="left")


def test_injected_delays_come_back_on_just_the_requests_that_had_them() -> None:
    delayed = np.random.default_rng(1).permutation(300) < 60
    requests = [Request("GET", "/300000" if slow else "/0") for slow in delayed]
    with holding() as target:
        samples = run_open(
            target, requests, constant(300, count=300), connections=128, keep_header=HELD
        )
    held_s = np.array([int(value or 0) for value in samples.kept_header or ()]) / 1e6
    assert samples.answered.all()
    assert (held_s[delayed] >= 0.299).all()
    assert (samples.service_s[delayed] >= 0.299).all()
    assert (samples.service_s >= held_s - 1e-5).all(), "no answer before the server had made it"
    assert (samples.latency_s >= samples.service_s).all()
    slow = samples.latency_s >= 0.299
    assert slow[delayed].all()
    assert slow.sum() < 120, "a busy machine may delay some of the others"
    assert samples.percentiles_s([0.8001])[0] >= 0.299


def test_known_quantiles_are_those_of_the_draw() -> None:
    measured = accuracy.measure_accuracy(80, 3)
    assert measured.samples.answered.all()
    np.testing.assert_array_less(measured.asked_s - 0.002, measured.held_s)
    drawn = accuracy.MEDIAN_S * np.exp(accuracy.SIGMA * np.random.default_rng(4).normal(size=10**6))
    for q in accuracy.QUANTILES:
        assert measured.known_s(q) == pytest.approx(float(np.quantile(drawn, q)), rel=0.01)
    table = accuracy_table(measured)
    assert table.shown["quantile"].tolist() == ["p50", "p90", "p95", "p99"]
    assert table.shown["measured, ms"].tolist()[-1] == "not estimable", "80 are too few for p99"


def test_wrk_is_asked_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = """Running 1s test
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    10.54ms    1.20ms  15.00ms   90.00%
Requests/sec:    751.40
"""
    done = type("Done", (), {"stdout": said})
    monkeypatch.setattr("perflab.studies.load.accuracy.shutil.which", lambda _name: "/bin/wrk")
    monkeypatch.setattr(
        "perflab.studies.load.accuracy.subprocess.run", lambda *_args, **_options: done
    )
    monkeypatch.setattr(accuracy, "run_closed", lambda *_a, **_o: _some_samples())
    monkeypatch.setattr(accuracy, "holding", _nowhere)
    agreement = accuracy.measure_agreement(3, 1.0)
    assert not isinstance(agreement, NotRun)
    assert isinstance(agreement.wrk_ms, Interval)
    assert agreement.wrk_ms.estimate == pytest.approx(10.54)
    assert "751.4" in repr(agreement_table(agreement))
    monkeypatch.undo()
    if shutil.which("wrk") is None:
        assert isinstance(accuracy.measure_agreement(3, 1.0), NotRun)


def _some_samples() -> LoadSamples:
    ones = np.ones(10)
    return LoadSamples(
        scheduled_s=ones * 0, taken_s=ones * 0, started_s=ones * 0, ended_s=ones * 0.5,
        status=np.full(10, 200, np.int16), body_bytes=np.zeros(10, np.int64),
        outcome=np.zeros(10, np.int8), kind="closed", window_s=1.0, busy_share=0.0,
        began_unix_s=0.0,
    )  # fmt: skip


@contextmanager
def _nowhere() -> Iterator[Target]:
    yield Target("127.0.0.1", 9)
