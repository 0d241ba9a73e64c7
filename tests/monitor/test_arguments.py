"""What nobody can watch or serve is named when it is given."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest

from perflab.monitor import LoopLag, MetricsEndpoint, MetricsRegistry, MonitorError
from perflab.monitor.alerts import AlertEngine, Target, Watch

URL = "http://localhost/metrics"


@pytest.mark.parametrize(
    "source", [None, 5, b"http://localhost", "http://localhost:0/metrics", "localhost", "http://"]
)
def test_figures_that_nobody_can_ask_for_are_refused(source: Any) -> None:
    with pytest.raises(MonitorError, match="write the URL of metrics as http://host:port/metrics"):
        Target("api", source)


@pytest.mark.parametrize("job", [None, 5, ""])
def test_a_process_has_a_kind(job: Any) -> None:
    with pytest.raises(MonitorError, match="job must be a text that is not empty"):
        Target(job, URL)


@pytest.mark.parametrize("every_s", [0, math.nan, math.inf, "1", None])
def test_a_watch_looks_at_even_distances(every_s: Any) -> None:
    with pytest.raises(MonitorError, match="every_s="):
        Watch(AlertEngine(()), [Target("api", URL)], every_s=every_s)
    with pytest.raises(MonitorError, match="every_s="):
        LoopLag(every_s=every_s)


def test_a_url_alone_is_no_target() -> None:
    targets: Any = [URL]
    with pytest.raises(MonitorError, match="targets must be Target structs"):
        Watch(AlertEngine(()), targets)


async def later(*_: Any) -> None:
    raise AssertionError("nobody awaits this")


@pytest.mark.parametrize("hook", [later, functools.partial(later)])
def test_nobody_waits_for_who_is_told_of_alerts_and_figures(hook: Any) -> None:
    targets = [Target("api", URL)]
    with pytest.raises(MonitorError, match="tell is an async function, which nobody awaits"):
        Watch(AlertEngine(()), targets, tell=[print, hook])
    with pytest.raises(MonitorError, match="look is an async function, which nobody awaits"):
        Watch(AlertEngine(()), targets, look=hook)
    with pytest.raises(MonitorError, match="stats of cache is an async function, which nobody"):
        MetricsRegistry().register("cache", hook)


def test_a_watch_needs_rules_and_functions() -> None:
    nothing: Any = None
    with pytest.raises(MonitorError, match="engine=None: must be a AlertEngine"):
        Watch(nothing, [Target("api", URL)])
    with pytest.raises(MonitorError, match="tell=None: must be a function"):
        Watch(AlertEngine(()), [Target("api", URL)], tell=[nothing])
    with pytest.raises(MonitorError, match="stats of cache=None: must be a function"):
        MetricsRegistry().register("cache", nothing)


@pytest.mark.parametrize("port", ["9000", -1, 70_000, None, True])
def test_figures_are_served_at_a_port(port: Any) -> None:
    with pytest.raises(MonitorError, match="for /metrics: must be from 0 to 65535"):
        MetricsEndpoint(MetricsRegistry(), port=port)
