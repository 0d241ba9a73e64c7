"""A run's manifest tells how far it came; a run is found by id, folder or newest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from perflab.errors import ParameterError
from perflab.runs import Journal, Manifest, RunError, RunFolder, find_run, read_manifest

COMMON = {"profile": "quick", "services": "auto", "seed": 42, "claims": ""}
BOOKS = {"01_database": {"without_indexes": ["a"]}, "09_scorecard": {}}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "a-run")


def minutes() -> Iterator[datetime]:
    at = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    while True:
        yield at
        at += timedelta(minutes=1)


def journal(run: RunFolder) -> Journal:
    clock = minutes()
    return Journal(run, COMMON, BOOKS, ["postgres: embedded"], clock=lambda: next(clock))


def read(run: RunFolder) -> Manifest:
    return read_manifest(run.manifest)


def test_each_step_is_on_disk_at_once(run: RunFolder) -> None:
    with journal(run) as record:
        assert [n.status for n in read(run).notebooks] == ["waiting", "waiting"]
        record.starts("01_database")
        assert [n.status for n in read(run).notebooks] == ["running", "waiting"]
        record.ends("01_database", 12.5)
        record.starts("09_scorecard")
        assert [n.status for n in read(run).notebooks] == ["done", "running"]
        assert (read(run).status, read(run).ended_at) == ("running", None)
        record.ends("09_scorecard", 2.0)
    found = read(run)
    assert (found.status, found.id, found.profile, found.seed) == ("done", "a-run", "quick", 42)
    assert found.started_at == "2026-11-24T03:00:00+00:00"
    assert found.ended_at == "2026-11-24T03:01:00+00:00"
    assert found.notebooks[0].seconds == 12.5
    assert found.notebooks[0].parameters == {"without_indexes": ["a"]}
    assert found.notes == ("postgres: embedded",)


def test_a_failed_notebook_fails_the_run(run: RunFolder) -> None:
    with journal(run) as record:
        record.ends("01_database", 1.0, "code cell 1: gone")
        record.ends("09_scorecard", 1.0)
    assert read(run).status == "failed"
    assert [(n.status, n.failure) for n in read(run).notebooks] == [
        ("failed", "code cell 1: gone"),
        ("done", ""),
    ]


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "stopped"), (RunError("x"), "failed")]
)
def test_an_exception_ends_the_record_too(
    error: BaseException, status: str, run: RunFolder
) -> None:
    def batch() -> None:
        with journal(run) as record:
            record.starts("01_database")
            raise error

    with pytest.raises(type(error)):
        batch()
    assert (read(run).status, read(run).notebooks[0].status) == (status, "running")
    assert read(run).ended_at is not None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "is no perflab-run file"),
        (b'{"format": "perflab-results"}', "is no perflab-run file"),
        (b'{"format": "perflab-run", "version": 2}', "version 2, this perflab reads version 1"),
        (b'{"format": "perflab-run", "version": 1}', "missing required field `id`"),
    ],
)
def test_an_unusable_manifest_is_one_line_with_its_path(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_field_of_a_later_version_is_no_obstacle(run: RunFolder) -> None:
    with journal(run):
        pass
    raw = json.loads(run.manifest.read_text())
    run.manifest.write_text(json.dumps({**raw, "added_later": 1}))
    assert read(run).id == "a-run"


def test_the_claims_are_copied_once(run: RunFolder, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("title = 'mine'")
    run.keep_claims(str(mine))
    run.keep_claims("")
    assert run.claims.read_text() == "title = 'mine'"


def test_a_run_is_found_by_id_by_folder_and_as_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    for name in ("20261124T010000Z-full", "20261124T020000Z-quick", "zz-copied"):
        (tmp_path / "runs" / name / "results").mkdir(parents=True)
    (tmp_path / "runs" / "20261124T030000Z-quick").mkdir()  # empty: it holds no run
    assert find_run("newest").id == "20261124T020000Z-quick"
    assert find_run("zz-copied").path == tmp_path / "runs" / "zz-copied"
    assert find_run("runs/zz-copied/").path == tmp_path / "runs" / "zz-copied"
    for name, reason in [("absent", "no run of that name"), ("runs", "is no run")]:
        with pytest.raises(ParameterError, match=f"{name}: {reason}"):
            find_run(name)


def test_without_any_run_the_newest_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_RUNS_DIR", str(tmp_path))
    with pytest.raises(ParameterError, match="`perflab run` makes one"):
        find_run("newest")
