"""The lag of an event loop, and histograms as metrics."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.histogram import LATENCY_S, Buckets, Histogram
from perflab.monitor import LoopLag, MetricsRegistry, MonitorError, distributions

from .test_snapshots import OPENMETRICS, figure, figures


class Timed(msgspec.Struct, frozen=True):
    wait_s: Buckets


SHAPE = distributions("wait_s")


def test_a_stall_counts_once_for_each_callback_that_it_delayed() -> None:
    async def scenario() -> None:
        async with LoopLag(every_s=0.01) as lag:
            await asyncio.sleep(0.1)
            before = sum(lag.stats().lag_s.counts)
            time.sleep(0.3)
            await asyncio.sleep(0.005)
            stats = lag.stats()
            assert sum(stats.lag_s.counts) - before >= 28
            assert stats.lag_s.sum >= 0.3 * 0.3 / 0.01 / 2 * 0.9
        after = lag.stats()
        await asyncio.sleep(0.05)
        assert lag.stats() == after, "nothing is watched any more"

    asyncio.run(scenario())


@given(st.lists(st.floats(0, 20)))
def test_a_histogram_of_prometheus_holds_each_value_once(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    registry = MetricsRegistry("lab", process=False)
    registry.register("pool", lambda: Timed(histogram.snapshot()), shape=SHAPE)
    for accept in (None, OPENMETRICS):
        found = figures(registry, accept)
        for bound in LATENCY_S:
            below = figure(found, "lab_pool_wait_seconds_bucket", le=str(bound))
            assert below == sum(value <= bound for value in values)
        assert figure(found, "lab_pool_wait_seconds_bucket", le="+Inf") == len(values)
        assert figure(found, "lab_pool_wait_seconds_count") == len(values)
        assert figure(found, "lab_pool_wait_seconds_sum") == pytest.approx(sum(values))


def test_a_distribution_must_hold_buckets() -> None:
    class Plain(msgspec.Struct):
        wait_s: float = 0.0

    with pytest.raises(MonitorError, match=r"Plain\.wait_s is no histogram"):
        MetricsRegistry(process=False).register("pool", Plain, shape=SHAPE)
