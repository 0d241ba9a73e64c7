"""The scorecard: every claim, the newest result, the run behind it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from perflab.errors import ParameterError
from perflab.measure.claims import load_claims
from perflab.measure.results import read_results
from perflab.studies import scorecard as study

FIXTURE = Path(__file__).parent.parent / "fixtures" / "run"


def test_every_claim_has_a_row_and_only_the_measured_have_a_verdict() -> None:
    claims = load_claims()
    found = study.find_results(str(FIXTURE), "", "quick")
    card = study.scorecard(claims, found.by_claim)
    assert list(card["claim"]) == [claim.id for claim in claims]
    measured = card[card["verdict"] != study.NOT_YET]
    assert set(measured["claim"]) == set(found.by_claim)
    assert set(measured["run"]) == {"fixture"}
    assert int(study.summary(card).drop(columns="area").to_numpy().sum()) == len(claims)


def test_the_newest_is_of_this_machine_and_profile_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_RUNS_DIR", str(tmp_path))
    monkeypatch.delenv("PERFLAB_RUN", raising=False)
    shutil.copytree(FIXTURE, tmp_path / "fixture")
    origin = read_results(FIXTURE / "results" / "01_database.json")[0].origin
    assert study.find_results("newest", origin.environment_id, "quick").by_claim
    assert not study.find_results("newest", origin.environment_id, "full").by_claim
    assert not study.find_results("newest", "another", "quick").by_claim


def test_a_run_in_progress_elsewhere_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.delenv("PERFLAB_RUN", raising=False)
    current = tmp_path / "elsewhere" / "mine"
    shutil.copytree(FIXTURE, current)
    origin = read_results(FIXTURE / "results" / "01_database.json")[0].origin
    found = study.find_results("newest", origin.environment_id, "quick", current)
    assert "database.tasks.improvement" in found.by_claim


def test_a_run_that_does_not_exist_is_named() -> None:
    with pytest.raises(ParameterError, match="nowhere: no run of that name"):
        study.find_results("nowhere", "", "quick")
