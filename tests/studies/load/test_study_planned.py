"""The plan's scenarios against the API, on real servers, as short as they can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from perflab.datasets import Datasets
from perflab.load import LoadError
from perflab.load.scenarios import VERDICTS, Scenario, Times, load_scenario
from perflab.load.scenarios.summary import Generator, Threshold
from perflab.measure.claims import load_claims
from perflab.measure.results import Origin, Result
from perflab.profiles import load_profiles
from perflab.realtime.hub.process import HubReport
from perflab.realtime.hub.stats import HubStats
from perflab.realtime.scenarios import SocketFigures, SocketSummary
from perflab.report.not_run import NotRun
from perflab.services import Redis, Services, open_services
from perflab.studies.api.site import make_site
from perflab.studies.load.connections import Crowd, hold_connections
from perflab.studies.load.planned import (
    AS_PLANNED,
    PARTS,
    USERS,
    WIDENED,
    Trial,
    rate_of,
    run_planned,
)
from perflab.studies.load.verdicts import judge_connections, judge_counts, judge_scenarios
from perflab.studies.load.views.distribution import MOST_POINTS, distribution_frame
from perflab.studies.load.views.planned import (
    crowd_table,
    demanded_table,
    files_table,
    quotas_frame,
    quotas_plot,
    quotas_table,
    trials_table,
    verdict_table,
)  # fmt: skip

PROFILES = Path(__file__).parents[2] / "fixtures" / "profiles.toml"
ORIGIN = Origin(
    notebook="06_load", run_id="r", profile="smoke", seed=1, environment_id="e", rung="embedded",
    server_version="PostgreSQL 18",
)  # fmt: skip


@pytest.fixture(scope="module")
def trials(services: Services) -> Any:
    profile = load_profiles(PROFILES)["smoke"]
    datasets = Datasets(services.postgres, profile, seed=1)
    try:
        datasets.load(lambda *_: None)
        site = make_site(SimpleNamespace(datasets=datasets, services=services), USERS)
        with open_services("embedded", only=["edge"]) as before:
            trials = run_planned(site, before.edge, 0.6, 7)
            assert {trial.summary.target for trial in trials} == {before.edge.url()}
        return trials
    finally:
        datasets.close()


def of(trials: tuple[Trial, ...], name: str, quotas: str) -> Trial:
    (found,) = (t for t in trials if t.part.name == name and t.quotas == quotas)
    return found


def test_wide_quotas_let_every_request_be_answered(trials: tuple[Trial, ...]) -> None:
    for part in PARTS:
        trial = of(trials, part.name, WIDENED)
        assert {VERDICTS[code] for code in trial.run.verdict} == {"good"}
        assert len(trial.run.verdict) == trial.scheduled, "flows that were begun are ended"
    tasks = of(trials, "tasks", WIDENED)
    assert set(tasks.summary.total.statuses) <= {200, 201}


def test_planned_quotas_refuse_what_was_predicted(trials: tuple[Trial, ...]) -> None:
    for name in ("auth", "analytics"):
        trial = of(trials, name, AS_PLANNED)
        assert trial.expected is not None
        total = trial.summary.total
        # what lapses in the very moment of a request may go either way
        assert abs(total.refused - trial.expected.share * total.requests) <= 1.01
        assert not total.errors
    assert of(trials, "auth", AS_PLANNED).summary.total.refused_share > 0.5
    assert of(trials, "tasks", AS_PLANNED).summary.total.refused == 0


def test_results_name_the_collision_and_the_widening(trials: tuple[Trial, ...]) -> None:
    results = judge_scenarios(load_claims(), trials, ORIGIN)
    by_claim = {result.claim: result for result in results}
    assert set(by_claim) == {
        f"load.{part.name}.{what}" for part in PARTS for what in ("users", "rps")
    }
    rate = by_claim["load.auth.rps"]
    assert any("widened to 100 times" in warning for warning in rate.warnings)
    assert any("10 in 900 s, refuses 94" in warning for warning in rate.warnings)
    assert not any("refuses" in warning for warning in by_claim["load.tasks.rps"].warnings)


def altered(
    trial: Trial, *, late_s: float = 0.01, verdict: str = "good", generator_late_ms: float = 0.1
) -> Trial:
    """The trial with a quiet generator and every request answered well in 10 ms, but the last."""
    samples = trial.run.samples
    ended_s = samples.scheduled_s + 0.01
    ended_s[-1] = samples.scheduled_s[-1] + late_s
    codes = np.full_like(trial.run.verdict, VERDICTS.index("good"))
    codes[-1] = VERDICTS.index(verdict)
    generator = msgspec.structs.replace(
        trial.summary.generator, busy_share=0.1, late_p99_ms=generator_late_ms
    )
    return replace(
        trial,
        run=replace(trial.run, samples=replace(samples, ended_s=ended_s), verdict=codes),
        summary=msgspec.structs.replace(trial.summary, generator=generator),
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, "met"),
        ({"verdict": "status"}, "missed"),
        ({"verdict": "refused"}, "missed"),
        ({"late_s": 0.99}, "met"),
        ({"late_s": 1.01}, "missed"),
        ({"generator_late_ms": 19.0}, "met"),
        ({"generator_late_ms": 21.0}, "void"),
    ],
)
def test_rate_is_carried_by_good_answers_in_time_of_a_punctual_generator(
    change: dict[str, Any], word: str, trials: tuple[Trial, ...]
) -> None:
    """The tasks come every 20 ms on average."""
    changed = [altered(t, **change) if t.quotas == WIDENED else t for t in trials]
    words = {
        result.claim: result.verdict.word
        for result in judge_scenarios(load_claims(), changed, ORIGIN)
        if result.verdict is not None
    }
    assert words["load.tasks.rps"] == word


def test_scenarios_are_counted_with_the_connections_and_without(trials: tuple[Trial, ...]) -> None:
    def word(crowd: Any) -> dict[str | None, str]:
        judged = judge_counts(load_claims(), trials, crowd, ORIGIN)
        return {r.claim: r.verdict.word for r in judged if r.verdict}

    missing = NotRun("connections", "too few open files")
    assert word(missing) == {"load.scenarios.count": "missed", "load.percentiles.count": "met"}
    assert word(some_crowd())["load.scenarios.count"] == "met"


def some_crowd(**changes: Any) -> Crowd:
    total = SocketFigures(
        connections=1000, opening_s=1.0, published=2, expected=40, delivered=40, missing=0,
        duplicates=0, errors={}, attempts=1002, published_per_s=2.0, deliveries_per_s=40.0,
        latency=Times(**dict.fromkeys(Times.__struct_fields__, 10.0)),
    )  # fmt: skip
    summary = SocketSummary(
        title="sockets", scenario="s.toml", target="ws://127.0.0.1:1", began="", seed=1,
        duration_s=1.0, ended="done", reason="", seconds=1.0, thresholds=(),
        generator=Generator(busy_share=0.1, late_p99_ms=1.0, void_reason=""),
        connections=1000, channels=50, lane="normal", message_bytes=200,
        total=msgspec.structs.replace(total, **changes), over_time=(),
    )  # fmt: skip
    stats = HubStats(**dict.fromkeys(HubStats.__struct_fields__, 0))
    hub = HubReport(stats=stats, cpu_s=0.1, rss_bytes=2**20, at=0.0)
    return Crowd(summary=summary, hub=hub)


def test_lost_connection_misses_the_claim_and_a_lost_delivery_is_told() -> None:
    def judged(crowd: Crowd) -> Result:
        (result,) = judge_connections(load_claims(), crowd, ORIGIN)
        return result

    words = [judged(some_crowd(connections=count)).verdict for count in (1000, 999)]
    assert [verdict.word for verdict in words if verdict] == ["met", "missed"]
    assert judged(some_crowd()).warnings == ()
    assert judged(some_crowd(missing=1)).warnings == ("1 of 40 deliveries did not come",)
    assert judged(some_crowd(duplicates=2)).warnings == ("2 deliveries came twice",)
    assert judge_connections(load_claims(), NotRun("connections", "no"), ORIGIN) == []


def test_a_hub_that_is_lost_is_told_and_no_section_that_was_not_run() -> None:
    lost = replace(some_crowd(connections=0), hub=None)
    (result,) = judge_connections(load_claims(), lost, ORIGIN)
    assert result.verdict is not None
    assert result.verdict.word == "missed"
    assert result.warnings == ("the hub ended before the load did",)
    assert "did not live to tell" in repr(crowd_table(lost))


def test_connections_are_open_together_and_each_gets_its_channels_messages(
    redis_server: Redis,
) -> None:
    crowd = hold_connections(redis_server, 60, 0.5, 3)
    assert isinstance(crowd, Crowd)
    total = crowd.summary.total
    assert crowd.hub is not None
    assert total.connections == crowd.summary.connections == crowd.hub.stats.opened == 60
    assert total.published > 0
    assert total.delivered == total.expected >= total.published
    assert (total.missing, total.duplicates) == (0, 0)
    assert 0 < total.latency.p50_ms <= total.latency.max_ms
    assert "60 WebSocket connections" in repr(crowd_table(crowd))


def test_too_few_open_files_are_a_reason_not_to_run(redis_server: Redis) -> None:
    crowd = hold_connections(redis_server, 10**9, 0.1, 3)
    assert isinstance(crowd, NotRun)
    assert "open files" in str(crowd)


def test_curves_rise_to_the_slowest_answer_of_each_scenario(trials: tuple[Trial, ...]) -> None:
    frame = distribution_frame(trials)
    assert frame["scenario"].nunique() == 3
    for (_, curve), part in zip(frame.groupby("scenario", sort=False), PARTS, strict=True):
        latency_ms = of(trials, part.name, WIDENED).run.samples.latency_s * 1e3
        assert curve["ms"].iloc[-1] == pytest.approx(latency_ms.max())
        assert curve["share"].iloc[-1] == 100
        assert len(curve) == min(len(latency_ms), MOST_POINTS)
        for ms, share in zip(curve["ms"], curve["share"], strict=True):
            assert 100 * (latency_ms <= ms + 1e-9).mean() == pytest.approx(share)


def test_a_rate_that_changes_is_no_rate_of_a_scenario(tmp_path: Path) -> None:
    def arriving(arrival: str) -> Scenario:
        file = tmp_path / "morning.toml"
        file.write_text(
            'title = "A morning"\ntarget = "http://127.0.0.1:1"\nusers = 1\nduration_s = 1\n'
            f"arrival = {{ {arrival} }}\n"
            '[[flow]]\nname = "look"\n[[flow.request]]\nname = "look"\npath = "/"\n'
        )
        return load_scenario(file)

    for kind in ("poisson", "constant"):
        assert rate_of(arriving(f'kind = "{kind}", rate_per_s = 9')) == 9
    for changes in ('kind = "ramp", from_per_s = 1, to_per_s = 9', 'kind = "closed"'):
        with pytest.raises(LoadError, match="A morning: its kind of arrival has not one rate"):
            rate_of(arriving(changes))


def test_tables_show_every_run(trials: tuple[Trial, ...]) -> None:
    assert len(quotas_frame(trials)) == 6
    assert quotas_table(trials).shown["quotas"].tolist() == [AS_PLANNED, WIDENED] * 3
    assert len(trials_table(trials).shown) == 6, "latency and service time of three scenarios"
    assert len(demanded_table(trials, NotRun("connections", "no")).shown) == 6
    threshold = Threshold(condition="missing <= 0", value=0.0, holds=True)
    crowd = some_crowd()
    judged = replace(crowd, summary=msgspec.structs.replace(crowd.summary, thresholds=(threshold,)))
    assert demanded_table(trials, judged).shown["demanded"].tolist()[6:] == ["missing <= 0"]
    assert len(files_table().shown) == 4
    assert "of 3 scenarios" in quotas_plot(trials).axes[0].get_title(loc="left")
    results = judge_scenarios(load_claims(), trials, ORIGIN)
    assert len(verdict_table(results, load_claims()).shown) == 6
