"""What the monitoring study shows: the panel's figures, an episode's states, its table."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from perflab.load import LoadSamples
from perflab.measure.comparison import compare
from perflab.measure.experiment import Arm, Draw, Experiment, Operation
from perflab.measure.statistics import mean_of_repetitions
from perflab.monitor.alerts import AlertEngine, Rule, State, Target, Transition
from perflab.monitor.alerts.expressions import Seconds, Value
from perflab.monitor.alerts.series import Sample
from perflab.report.style import title_of
from perflab.studies.monitor import changes_table, overhead_table, timeline_plot
from perflab.studies.monitor.figures import API, LOAD, History
from perflab.studies.monitor.overhead import Overhead
from perflab.studies.monitor.pause import Episode
from perflab.studies.monitor.views import episode as views
from perflab.studies.monitor.views import panel as panel_module
from perflab.studies.monitor.views.panel import Panel

API_TARGET = Target(API, "http://127.0.0.1:1/metrics")
LOAD_TARGET = Target(LOAD, "http://127.0.0.1:2/metrics")
RULE = Rule(
    name="Slow<b>",
    when=Value(metric="up"),
    comparison="<",
    threshold=1,
    for_s=Seconds(lab=0, production=0),
    severity="info",
    hint="Look.",
)


def requests(count: float) -> list[Sample]:
    return [
        Sample("perflab_http_requests_total", (("operation", "GET /"), ("status", "200")), count),
        Sample("unknown", (), 1.0),
    ]


def values(history: History, title: str) -> list[float]:
    ((_, points),) = [row for row in history.rows() if row[0].title == title]
    return [point.value for point in points]


def test_figures_are_of_the_last_second_and_of_their_own_process() -> None:
    history = History()
    for step in range(8):
        samples = None if step == 6 else requests(25.0 * step)
        history.enter(100 + step / 4, API_TARGET, samples)
        history.enter(100.01 + step / 4, LOAD_TARGET, [Sample("perflab_load_in_flight", (), step)])
    answers = values(history, "answers of the API")
    assert len(answers) == 8
    assert math.isnan(answers[0]), "one sample is no rate"
    assert answers[4:] == pytest.approx([100.0] * 4)
    assert values(history, "requests under way") == list(range(8))


def test_the_panel_shows_figures_gaps_and_alerts_and_escapes_names() -> None:
    history, engine = History(), AlertEngine([RULE], clock=lambda: 1.0)
    panel = Panel(history, engine)
    assert "–" in panel._repr_html_()
    assert repr(panel).endswith("alerts: none")
    for step in range(6):
        history.enter(100 + step / 4, API_TARGET, requests(5.0 * step))
    engine.enter(API, "a", None)
    engine.evaluate()
    html = panel._repr_html_()
    assert html.count("<tr>") == 6
    assert "<polyline" in html
    assert "Slow&lt;b&gt; firing" in html
    assert "answers of the API: 20 1/s" in repr(panel)
    assert repr(panel).endswith("alerts: Slow<b> firing")


def test_the_panel_is_one_output_that_is_brought_up_to_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[Any] = []

    class Handle:
        def update(self, value: Any) -> None:
            shown.append(("again", value))

    def display(value: Any, *, display_id: bool) -> Handle:
        assert display_id
        shown.append(("first", value))
        return Handle()

    panel = Panel(History(), AlertEngine([RULE]))
    panel.show()
    assert shown == [], "outside a kernel there is nobody to show it to"
    monkeypatch.setattr(panel_module, "in_kernel", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    panel.show()
    panel.show()
    assert shown == [("first", panel), ("again", panel)]


def change(before: State, after: State, at_s: float, job: str = "api") -> Transition:
    return Transition(
        rule=RULE, labels=(("job", job),), before=before, after=after, at_s=at_s, since_s=at_s,
        value=0.0,
    )  # fmt: skip


@pytest.fixture
def episode() -> Episode:
    began = time.time()
    rows = np.arange(4.0)
    samples = LoadSamples(
        kind="open", window_s=4.0, scheduled_s=rows, taken_s=rows,
        started_s=rows, ended_s=rows + 0.01, status=np.full(4, 200, np.int16),
        body_bytes=np.full(4, 2), outcome=np.zeros(4, np.int8), kept_header=None, bodies=None,
        busy_share=0.1, began_unix_s=began, resent=0, connections_opened=1,
    )  # fmt: skip
    return Episode(
        began_s=began,
        ended_s=began + 4,
        paused=(began + 1, began + 2),
        samples=samples,
        transitions=(
            change("inactive", "pending", began + 1.2),
            change("inactive", "pending", began + 1.5, "hub"),
            change("pending", "firing", began + 2.0),
            change("firing", "inactive", began + 3.0),
        ),
        figures=(),
    )


def test_states_last_until_the_same_alert_changes_or_the_load_ends(episode: Episode) -> None:
    spans = views._spans(episode.transitions, episode)
    assert [(state, *np.round(times, 3).tolist()) for state, *times in spans] == [
        ("pending", 1.2, 2.0),
        ("pending", 1.5, 4.0),
        ("firing", 2.0, 3.0),
    ]
    figure = timeline_plot(episode)
    assert title_of(figure) == "Raised by the stop: Slow<b>"
    plt.close("all")


def test_the_table_says_resolved_where_something_had_fired(episode: Episode) -> None:
    table = changes_table(episode)
    assert table.title == "The server stood still from 1.00 to 2.00 s: what the alerts made of it"
    assert table.shown["to"].tolist() == ["pending", "pending", "firing", "resolved"]
    assert table.shown["at (s)"].tolist() == ["1.20", "1.50", "2.00", "3.00"]


def test_without_a_change_there_is_an_empty_table_and_a_plot(episode: Episode) -> None:
    quiet = replace(episode, transitions=())
    table = changes_table(quiet)
    assert len(table.shown) == 0
    assert "at (s)" in table._repr_html_()
    assert title_of(timeline_plot(quiet)) == "Raised by the stop: no alert"


def test_the_overhead_is_a_ratio_with_an_interval_and_the_share_of_a_scrape() -> None:
    clock = itertools.count()

    def arm(name: str) -> Arm:
        return Arm(name, lambda _operation, _params: 1)

    samples = Experiment(
        before=arm("before"), after=arm("after"), control=arm("after again"),
        operations=[Operation("a cached page", "page", lambda _rng: Draw())],
        rounds=20, calls=2, warmup=0, seed=1, clock=lambda: next(clock) / 1e3,
    ).run(None)  # fmt: skip
    overhead = Overhead(
        requests=compare(samples),
        scrape_ms=mean_of_repetitions([2.9, 3.1] * 10),
        scrape_bytes=26_000,
    )
    assert overhead.share_percent == pytest.approx(100 * 0.003 / 15)
    shown = dict(overhead_table(overhead).shown.itertuples(index=False, name=None))
    assert shown["watched / not watched"].startswith("1")
    assert shown["one scrape (ms, mean)"].startswith("3 [")
    assert shown["size of a scrape (kB)"] == "26"
