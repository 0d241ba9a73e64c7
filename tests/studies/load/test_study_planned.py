"""The plan's scenarios against the API, on real servers, as short as they can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from perflab.datasets import Datasets
from perflab.load.scenarios import VERDICTS
from perflab.measure.claims import load_claims
from perflab.measure.results import Origin
from perflab.profiles import load_profiles
from perflab.services import Services
from perflab.studies.api.site import make_site
from perflab.studies.load.planned import AS_PLANNED, PARTS, USERS, WIDENED, Trial, run_planned
from perflab.studies.load.verdicts import judge_counts, judge_scenarios
from perflab.studies.load.views.planned import (
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
        return run_planned(site, 0.6, 7)
    finally:
        datasets.close()


def of(trials: tuple[Trial, ...], name: str, quotas: str) -> Trial:
    (found,) = (t for t in trials if t.part.name == name and t.quotas == quotas)
    return found


def test_wide_quotas_let_every_request_be_answered(trials: tuple[Trial, ...]) -> None:
    for part in PARTS:
        trial = of(trials, part.name, WIDENED)
        assert {VERDICTS[code] for code in trial.run.verdict} == {"good"}
        assert trial.carried_per_s == trial.run.scenario.arrival.rate_per_s  # type: ignore[union-attr]
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


def test_rate_with_a_bad_answer_is_missed_and_one_of_a_late_generator_void(
    trials: tuple[Trial, ...],
) -> None:
    def word(**changes: Any) -> str:
        changed = [
            t if t.quotas == AS_PLANNED
            else replace(t, summary=msgspec.structs.replace(t.summary, **changes))
            for t in trials
        ]  # fmt: skip
        (found,) = (r for r in judge_scenarios(load_claims(), changed, ORIGIN)
                    if r.claim == "load.tasks.rps")  # fmt: skip
        assert found.verdict is not None
        return found.verdict.word

    summary = of(trials, "tasks", WIDENED).summary
    quiet = msgspec.structs.replace(summary.generator, busy_share=0.1, late_p99_ms=0.1)
    assert word(generator=quiet) == "met"
    one_bad = msgspec.structs.replace(summary.total, good=summary.total.good - 1)
    assert word(generator=quiet, total=one_bad) == "missed"
    late = msgspec.structs.replace(quiet, late_p99_ms=21.0)
    assert word(generator=late) == "void", "later than the mean gap of 20 ms"


def test_three_of_the_four_scenarios_are_missed_as_a_count(trials: tuple[Trial, ...]) -> None:
    words = {r.claim: r.verdict for r in judge_counts(load_claims(), trials, ORIGIN)}
    assert {claim: verdict.word for claim, verdict in words.items() if verdict} == {
        "load.scenarios.count": "missed",
        "load.percentiles.count": "met",
    }
    more = judge_counts(load_claims(), trials, ORIGIN, others=1)
    assert more[0].verdict is not None
    assert more[0].verdict.word == "met"


def test_tables_show_every_run(trials: tuple[Trial, ...]) -> None:
    assert len(quotas_frame(trials)) == 6
    assert quotas_table(trials).shown["quotas"].tolist() == [AS_PLANNED, WIDENED] * 3
    assert len(trials_table(trials).shown) == 6, "latency and service time of three scenarios"
    assert len(demanded_table(trials).shown) == 6
    assert len(files_table().shown) == 3
    assert "of its 3 HTTP scenarios" in quotas_plot(trials).axes[0].get_title(loc="left")
    results = judge_scenarios(load_claims(), trials, ORIGIN)
    assert len(verdict_table(results, load_claims()).shown) == 6
