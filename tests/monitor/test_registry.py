"""What can be registered, what is refused, and that a scrape always succeeds."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
import threading
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perflab.monitor import (
    Counter,
    Each,
    Gauge,
    Keyed,
    LeftOut,
    MetricsRegistry,
    MonitorError,
    Part,
    counters,
    gauges,
)

from .test_snapshots import OPENMETRICS, figure, figures


class Lane(msgspec.Struct, frozen=True):
    name: str
    sent: int
    """Messages ``sent``,
    all together."""
    oldest_s: float | None = None


class Hub(msgspec.Struct, frozen=True):
    lanes: tuple[Lane, ...] = ()
    best: Lane | None = None
    by_code: dict[str, int] = {}
    open: bool = False
    level: Annotated[float, msgspec.Meta(description="How full it is.")] = 0.0
    note: str = ""


LANE = counters("sent") | gauges("oldest_s")
HUB: dict[str, Any] = {
    "lanes": Each(shape=LANE, label="lane", by="name", prefix="lane"),
    "best": Part(shape=LANE | {"name": LeftOut("a name")}),
    "by_code": Keyed(of=Counter(name="closed"), label="code"),
    "open": Gauge(),
    "level": Gauge(name="fill_ratio", scale=0.01),
    "note": LeftOut("prose"),
}


class Source:
    """Gives what it is told to."""

    def __init__(self, snapshot: Any = None) -> None:
        self.snapshot = Hub() if snapshot is None else snapshot

    def stats(self) -> Any:
        if isinstance(self.snapshot, Exception):
            raise self.snapshot
        return self.snapshot


def registry_of(source: Source) -> MetricsRegistry:
    registry = MetricsRegistry("lab", process=False)
    registry.register("hub", source.stats, shape=HUB)
    return registry


def test_nested_parts_sequences_and_dicts() -> None:
    source = Source(
        Hub(
            lanes=(Lane("critical", 3, 1.5), Lane("normal", 4)),
            best=Lane("critical", 3, 0.5),
            by_code={"1000": 7, "1013": 1},
            open=True,
            level=50,
        )
    )
    for accept in (None, OPENMETRICS):
        found = figures(registry_of(source), accept)
        assert figure(found, "lab_hub_lane_sent_total", lane="normal") == 4
        assert figure(found, "lab_hub_lane_oldest_seconds", lane="critical") == 1.5
        assert ("lab_hub_lane_oldest_seconds", frozenset({("lane", "normal")})) not in found
        assert figure(found, "lab_hub_best_sent_total") == 3
        assert figure(found, "lab_hub_closed_total", code="1013") == 1
        assert figure(found, "lab_hub_open") == 1
        assert figure(found, "lab_hub_fill_ratio") == 0.5


def test_help_comes_from_strings_and_descriptions() -> None:
    text = registry_of(Source()).render()[0].decode()
    assert "# HELP lab_hub_lane_sent_total Messages sent, all together.\n" in text
    assert "# HELP lab_hub_fill_ratio How full it is.\n" in text


WRONG_SNAPSHOTS = [
    RuntimeError("down"),
    Lane("x", 1),
    Hub(lanes=(Lane("a", 1), Lane("a", 2))),
    Hub(by_code={"1000": -1}),
    Hub(by_code={"1000": float("nan")}),  # type: ignore[dict-item]
    Hub(by_code={"1000": "many"}),  # type: ignore[dict-item]
    Hub(by_code={"1000": 10**400}),
    Hub(lanes=None),  # type: ignore[arg-type]
    Hub(level="high"),  # type: ignore[arg-type]
    "nothing",
]


@pytest.mark.parametrize("wrong", WRONG_SNAPSHOTS, ids=[str(one)[:40] for one in WRONG_SNAPSHOTS])
@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_a_failing_part_is_counted_and_breaks_nothing(
    wrong: Any, accept: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    source, other = Source(), Source(Hub(open=True))
    registry = registry_of(source)
    registry.register("other", other.stats, shape=HUB, labels={"at": "b"})
    assert figure(figures(registry, accept), "lab_monitor_failures_total", source="hub") == 0
    source.snapshot = wrong
    with caplog.at_level(logging.WARNING):
        for failures in (1, 2):
            found = figures(registry, accept)
            assert figure(found, "lab_monitor_failures_total", source="hub") == failures
            assert figure(found, "lab_monitor_failures_total", source="other{at=b}") == 0
            assert figure(found, "lab_other_open", at="b") == 1
            assert not any(name.startswith("lab_hub_") for name, _ in found)
    assert len(caplog.records) == 1, "said once"
    source.snapshot = Hub()
    found = figures(registry, accept)
    assert figure(found, "lab_hub_open") == 0
    assert figure(found, "lab_monitor_failures_total", source="hub") == 2


@given(st.text(), st.text())
@example("?", "")
def test_whatever_a_label_says_the_scrape_can_be_read(key: str, value: str) -> None:
    source = Source(Hub(by_code={key: 1, "\ud800": 2}, lanes=(Lane(value, 1),)))
    registry = MetricsRegistry("lab", process=False)
    registry.register("hub", source.stats, shape=HUB, labels={"at": value})
    for accept in (None, OPENMETRICS):
        body, _ = registry.render(accept)
        assert b"lab_hub_closed_total" in body


def test_two_of_a_kind_are_told_apart_by_labels() -> None:
    registry = MetricsRegistry(process=False)
    for at, full in (("a", 10), ("b", 20)):
        registry.register("hub", Source(Hub(level=full)).stats, shape=HUB, labels={"at": at})
    found = figures(registry, OPENMETRICS)
    assert figure(found, "perflab_hub_fill_ratio", at="a") == 0.1
    assert figure(found, "perflab_hub_fill_ratio", at="b") == 0.2
    registry.unregister("hub", labels={"at": "a"})
    assert ("perflab_hub_fill_ratio", frozenset({("at", "a")})) not in figures(registry)
    registry.register("hub", Source().stats, shape=HUB, labels={"at": "a"})


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in HUB.items() if key != name}


BEST = Part(shape=LANE | {"name": LeftOut("a name")})
UNNAMED = Part(shape=BEST.shape, prefix="")

REFUSED = [
    (lambda r: r.register("hub", Source().stats), "which fields of Hub are counters; pass shape="),
    (lambda r: r.register("hub", Source().stats, shape=without("open")),
     "Hub: not declared as counter or gauge: open"),
    (lambda r: r.register("hub", Source().stats, shape=HUB | counters("closed")),
     "Hub has no field closed"),
    (lambda r: r.register("hub", Source().stats, shape=HUB | counters("note")),
     "Hub.note is no number"),
    (lambda r: r.register("hub", Source().stats, shape=HUB | {"open": Part(shape={})}),
     "Hub.open is no Struct"),
    (lambda r: r.register("hub", Source().stats,
                          shape=HUB | {"best": Each(shape={}, label="a", by="b")}),
     "Hub.best is no tuple"),
    (lambda r: r.register("hub", Source().stats,
                          shape=HUB | {"best": Keyed(of=Gauge(), label="a")}),
     "Hub.best is no dict"),
    (lambda r: r.register("hub", Source().stats,
                          shape=HUB | {"lanes": Each(shape=LANE, label="lane", by="title")}),
     "Lane has no field 'title' to label it by"),
    (lambda r: r.register("hub", Source().stats, shape=HUB | {"level": Gauge(scale=2)}),
     "level: a scale needs a name"),
    (lambda r: r.register("hub", Source().stats, shape=HUB | {"level": Gauge(name="hits_total")}),
     "cannot end as in 'perflab_hub_hits_total'"),
    (lambda r: r.register("hub", Source().stats, shape=HUB | {"level": Counter(name="Big")}),
     "'perflab_hub_Big' is no name of a metric"),
    (lambda r: r.register("hub", Source().stats, shape=HUB | {"level": Counter(name="open")}),
     "perflab_hub_open is declared as"),
    (lambda r: r.register("hub", Source().stats, shape=HUB | {"level": Counter(name="closed")}),
     "perflab_hub_closed would have different labels: "),
    (lambda r: r.register("hub", Source().stats, shape=HUB, labels={"lane": "x"}),
     "Hub.lanes bears the label 'lane' twice"),
    (lambda r: r.register("hub", Source().stats, shape=HUB, labels={"le": "x"}),
     "'le' cannot be a label"),
    (lambda r: r.register("hub", Source().stats, shape=HUB, labels={"__x": "x"}),
     "'__x' cannot be a label"),
    (lambda r: r.register("my hub", Source().stats, shape=HUB), "'my hub' is no name of a metric"),
    (lambda r: r.register("hub", Source("text").stats, shape=HUB),
     "hub: stats\\(\\) gives str, not a msgspec.Struct"),
    (lambda r: r.register("hub", Source(OSError("gone")).stats, shape=HUB),
     "hub: stats\\(\\) fails, so it is not registered: OSError\\('gone'\\)"),
    (lambda r: [r.register("hub", Source().stats, shape=HUB) for _ in "12"],
     "hub is registered already"),
    (lambda r: [r.register("hub", Source().stats, shape=HUB, labels=labels)
                for labels in ({"a": "1"}, {"b": "1"})],
     "would have different labels"),
    (lambda r: [r.register(name, Source().stats, shape=HUB | {"best": best})
                for name, best in (("hub", BEST), ("hub_best", UNNAMED))],
     "perflab_hub_best_sent is a metric of hub already"),
    (lambda r: r.register("monitor", Source().stats, shape=HUB), "perflab_monitor_"),
    (lambda r: r.unregister("hub"), "hub with labels {} is not registered"),
    (lambda r: MetricsRegistry("Per flab"), "'Per flab' is no name of a metric"),
]  # fmt: skip


@pytest.mark.parametrize(("do", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_registered_is_named_and_leaves_no_trace(do: Any, message: str) -> None:
    registry = MetricsRegistry(process=False)
    with pytest.raises(MonitorError, match=message) as caught:
        do(registry)
    assert "\n" not in str(caught.value)
    assert registry.render()[0]


def test_formats() -> None:
    registry = registry_of(Source())
    body, content_type = registry.render(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    for accept in (None, "", "*/*", "text/html", "application/openmetrics-text;version=x.y"):
        body, content_type = registry.render(accept)
        assert content_type == "text/plain; version=0.0.4; charset=utf-8"
        assert b"# EOF" not in body


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from /proc")
def test_the_process_is_told_too() -> None:
    found = figures(MetricsRegistry(), OPENMETRICS)
    assert figure(found, "process_resident_memory_bytes") > 1e6
    assert figure(found, "process_cpu_seconds_total") > 0
    assert any(name == "python_info" for name, _ in found)
    assert not any(name.startswith("process") for name, _ in figures(registry_of(Source())))


def test_registering_while_scraping() -> None:
    registry = MetricsRegistry(process=False)
    stop = threading.Event()
    failed: list[BaseException] = []

    def scrape() -> None:
        try:
            while not stop.is_set():
                figures(registry, OPENMETRICS)
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=scrape)
    thread.start()
    for n in range(50):
        registry.register("hub", Source().stats, shape=HUB, labels={"at": str(n)})
        if n % 2:
            registry.unregister("hub", labels={"at": str(n)})
    stop.set()
    thread.join()
    assert not failed
    assert sum(name == "perflab_hub_open" for name, _ in figures(registry)) == 25


def test_it_imports_nothing_of_the_package_but_leaves() -> None:
    code = (
        "import sys, perflab.monitor; print(sorted(name for name in sys.modules if"
        " name.startswith('perflab.') and not name.startswith('perflab.monitor')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    leaves = ["arguments", "asgi", "closing", "errors", "histogram"]
    assert set(ast.literal_eval(done.stdout)) <= {f"perflab.{leaf}" for leaf in leaves}
