from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from perflab.measure.claims import load_claims
from perflab.measure.comparison import compare
from perflab.measure.measurement import counted, measure
from perflab.measure.results import (
    VERSION,
    Origin,
    Result,
    ResultsError,
    from_comparison,
    from_estimate,
    merge,
    newest_per_claim,
    read_results,
    write_results,
)
from perflab.measure.statistics import Interval, NotEstimable, exact

from .synthetic import Model

CLAIMS = load_claims()
TASKS = CLAIMS.get("database.tasks.improvement")
INDEXES = CLAIMS.get("database.indexes.count")
COMPARISON = compare(Model("category", (0.001, 0.002), (0.1, 0.1)).samples(seed=5))


def origin(**changes: object) -> Origin:
    plain = Origin(
        notebook="01_database",
        run_id="20260101T000000Z-quick",
        profile="quick",
        seed=5,
        environment_id="0123456789ab",
        rung="embedded",
        server_version="18.6",
    )
    return msgspec.structs.replace(plain, **changes)


def counting(value: float, recorded_at: str, **changes: object) -> Result:
    result = from_estimate(origin(**changes), exact(value), n=1, claim=INDEXES)
    return msgspec.structs.replace(result, recorded_at=recorded_at)


def test_a_result_says_all_that_a_table_shows() -> None:
    result = from_comparison(origin(), COMPARISON, claim=TASKS, warnings=["unsteady machine"])
    assert (result.name, result.claim, result.metric) == (TASKS.id, TASKS.id, TASKS.metric)
    assert (result.unit, result.target) == ("%", 85)
    assert isinstance(result.value, Interval)
    assert result.value.covers(90)
    assert result.verdict is not None
    assert result.verdict.word == "met"
    assert result.ratio == COMPARISON.mean
    assert result.aa == COMPARISON.aa.mean
    assert result.noise_floor_percent == COMPARISON.noise_floor_percent()
    assert (result.before, result.after) == (COMPARISON.before, COMPARISON.after)
    assert (result.n, result.blocks) == (24 * 4 * 2, 24)
    assert result.warnings == ("unsteady machine",)


def test_an_absolute_claim_is_about_the_after_arm_and_keeps_the_promised_before() -> None:
    claim = CLAIMS.get("database.tasks.after_mean")
    result = from_comparison(origin(), COMPARISON, claim=claim)
    assert result.value == COMPARISON.after.mean_ms
    assert (result.promised_before, result.target) == (800, 120)


def test_a_result_without_a_claim_is_named_and_not_judged() -> None:
    result = from_comparison(origin(), COMPARISON, name="database.query.one", metric="p99_ratio")
    assert (result.claim, result.verdict, result.target) == (None, None, None)
    assert isinstance(result.value, NotEstimable)
    with pytest.raises(ValueError, match="needs a name"):
        from_comparison(origin(), COMPARISON)


def test_a_measurement_is_judged_on_its_repetitions() -> None:
    measured = measure("reads", "requests/s", lambda number: 1_000.0 + number, repetitions=5)
    claim = CLAIMS.get("api.all.rps")
    result = from_estimate(origin(), measured.estimate, n=measured.n, claim=claim)
    assert result.verdict is not None
    assert result.verdict.word == "met"
    assert (result.n, result.blocks) == (5, 5)
    assert isinstance(measure("reads", "requests/s", float, 2).estimate, NotEstimable)
    assert counted(["a", "b"]) == exact(2.0)
    saturated = from_estimate(origin(), measured.estimate, n=5, claim=claim, saturated=True)
    assert saturated.verdict is not None
    assert saturated.verdict.word == "void"


def test_measuring_reports_progress() -> None:
    steps: list[tuple[int, int]] = []
    measure("x", "s", float, 2, lambda what, done, total: steps.append((done, total)))
    assert steps == [(0, 2), (1, 2), (2, 2)]


def test_results_survive_their_file(tmp_path: Path) -> None:
    results = (
        from_comparison(origin(), COMPARISON, claim=TASKS),
        from_comparison(origin(), COMPARISON, name="p99", metric="p99_reduction_percent"),
        counting(21, "2026-01-01T00:00:00.000+00:00"),
    )
    path = tmp_path / "results" / "01_database.json"
    write_results(path, results)
    assert read_results(path) == results
    assert [p.name for p in path.parent.iterdir()] == ["01_database.json"]
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == VERSION


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "01_database.json"
    write_results(path, [counting(1, "2026-01-01")])

    def fail(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_results(path, [counting(2, "2026-01-02")])
    assert read_results(path) == (counting(1, "2026-01-01"),)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "is no perflab-results file"),
        ('{"version": 1}', "is no perflab-results file"),
        ('{"format": "perflab-results", "version": 2}', "version 2, this perflab reads version 1"),
        ('{"format": "perflab-results", "version": 1}', "missing required field `results`"),
    ],
)
def test_a_file_that_is_not_understood_is_refused_by_name(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "01_database.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match=message) as raised:
        read_results(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"none\.json: cannot be read"):
        read_results(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environment_id": "ba9876543210"}, "different machines"),
        ({"profile": "full"}, "different profiles"),
    ],
)
def test_results_of_different_machines_or_profiles_are_not_merged_silently(
    changes: dict[str, object], message: str
) -> None:
    mixed = [counting(2, "2026-01-02", **changes), counting(1, "2026-01-01")]
    with pytest.raises(ResultsError, match=message):
        merge(mixed)
    assert [r.recorded_at for r in merge(mixed, force=True)] == ["2026-01-01", "2026-01-02"]
    assert len(merge(mixed[:1])) == 1


def test_the_newest_result_of_a_claim_is_that_of_this_machine_and_profile(tmp_path: Path) -> None:
    runs = {
        "b-old": counting(1, "2026-01-01T00:00:00"),
        "a-new": counting(2, "2026-01-02T00:00:00"),
        "c-other-machine": counting(3, "2026-01-03T00:00:00", environment_id="ba9876543210"),
        "d-other-profile": counting(4, "2026-01-04T00:00:00", profile="full"),
    }
    for name, result in runs.items():
        unclaimed = from_estimate(origin(), exact(9.0), n=1, name="something")
        write_results(tmp_path / name / "results" / "01_database.json", [result, unclaimed])
    broken = tmp_path / "e-broken" / "results" / "01_database.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{", encoding="utf-8")
    newest = newest_per_claim(tmp_path, "0123456789ab", "quick")
    assert newest.by_claim == {INDEXES.id: runs["a-new"]}
    assert len(newest.skipped) == 1
    assert str(broken) in newest.skipped[0]
    assert newest_per_claim(tmp_path / "nowhere", "0123456789ab", "quick").by_claim == {}
