"""One whole batch, as a user starts it: what it leaves behind, and that no secret is in it."""

from __future__ import annotations

import html
import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from perflab.measure.results import read_results
from perflab.parameters import DEFAULT_NOTEBOOKS
from perflab.report.exhibits import read_exhibits
from perflab.runs import read_manifest
from smoke_run import SmokeRun, environment, perflab

GONE_S = 10.0
TWO = ("01_database", "09_scorecard")
"""A notebook to break, and one that comes after it."""

pytestmark = pytest.mark.slow


@pytest.fixture
def batch(smoke_run: SmokeRun) -> SmokeRun:
    return smoke_run


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A TMPDIR that the servers' own user may enter, which pytest's folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="batch-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(720)
def test_the_batch_succeeds_and_prints_scorecard_and_path(batch: SmokeRun) -> None:
    assert batch.exit_code == 0, batch.output
    assert "Scorecard" in batch.output
    assert str(batch.run) in batch.output


def test_results_samples_tables_plots_and_notebooks_are_left(batch: SmokeRun) -> None:
    results = read_results(batch.run / "results" / "01_database.json")
    judged = {r.claim for r in results if r.claim}
    assert {"database.tasks.improvement", "database.indexes.count"} <= judged
    assert all(r.origin.run_id == "smoke" and r.origin.rung == "embedded" for r in results)
    for pattern in ("samples/*.parquet", "tables/*.csv", "tables/*.md", "plots/*.png"):
        # a table of what happened may have a header and no row
        least = 20 if pattern == "tables/*.csv" else 50
        small = [p.name for p in batch.run.glob(pattern) if p.stat().st_size < least]
        assert not small, pattern
        assert list(batch.run.glob(pattern)), pattern
    for name in DEFAULT_NOTEBOOKS:
        book = json.loads((batch.run / "notebooks" / f"{name}.ipynb").read_text())
        code = [c for c in book["cells"] if c["cell_type"] == "code"]
        assert all(c["execution_count"] for c in code)
        assert not [o for c in code for o in c["outputs"] if o["output_type"] == "error"]


def test_manifest_claims_and_report_are_left(batch: SmokeRun) -> None:
    manifest = read_manifest(batch.run / "run.json")
    assert manifest.status == "done"
    assert [n.name for n in manifest.notebooks] == list(DEFAULT_NOTEBOOKS)
    assert any("embedded" in note for note in manifest.notes)
    assert f"report: {batch.run / 'report.html'}" in batch.output
    report = (batch.run / "report.html").read_text()
    for exhibit in read_exhibits(batch.run / "exhibits" / "01_database.json").exhibits:
        assert exhibit.title in html.unescape(report)
    assert (batch.run / "claims.toml").is_file()
    assert (batch.run / "notebooks" / "01_database.html").is_file()


def test_the_environment_is_recorded(batch: SmokeRun) -> None:
    environment = msgspec.json.decode((batch.run / "environment.json").read_bytes())
    assert environment["servers"]["postgres"]["rung"] == "embedded"
    assert environment["servers"]["postgres"]["settings"]["fsync"] == "on"


def test_no_password_is_in_any_file_or_line_of_the_run(batch: SmokeRun) -> None:
    assert len(batch.passwords) == 2, "the test must have seen PostgreSQL's and Redis's"
    holders = [
        str(path)
        for path in batch.run.rglob("*")
        if path.is_file()
        and any(password.encode() in path.read_bytes() for password in batch.passwords)
    ]
    assert holders == []
    assert not [p for p in batch.passwords if p in batch.output]


def test_nothing_is_left_running_or_lying_about(batch: SmokeRun) -> None:
    assert batch.left == ()


@pytest.mark.timeout(120)
def test_a_killed_batch_leaves_no_process_and_no_folder(temporary: Path, tmp_path: Path) -> None:
    process = psutil.Popen(
        [perflab(), "run", "01_database", "--profile", "smoke", "--out", str(tmp_path / "run")],
        env=environment(temporary),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: (tmp_path / "run/notebooks/01_database.ipynb").exists(), 60)
    family = process.children(recursive=True)
    names = {p.name() for p in family}
    assert any(name.startswith("postgres") for name in names), names
    process.kill()
    process.wait()
    wait_until(lambda: not alive(family) and not list(temporary.glob("perflab-*")), GONE_S)


@pytest.mark.timeout(180)
def test_a_stopped_batch_still_writes_its_report(temporary: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with (temporary / "log").open("w+") as log:
        process = subprocess.Popen(
            [
                *(perflab(), "run", *TWO, "--profile", "smoke", "--services", "embedded"),
                *("--out", str(run)),
            ],
            env=environment(temporary),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(lambda: list(run.glob("exhibits/*.json")), 90)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
        log.seek(0)
        output = log.read()
    assert "Traceback" not in output
    assert f"report: {run / 'report.html'}" in output
    manifest = read_manifest(run / "run.json")
    assert manifest.status == "stopped"
    assert [n.status for n in manifest.notebooks] == ["running", "waiting"]
    assert "The run was stopped before its end." in (run / "report.html").read_text()


@pytest.mark.timeout(180)
def test_a_killed_kernel_fails_its_notebook_and_the_rest_still_runs(
    temporary: Path, tmp_path: Path
) -> None:
    with (temporary / "log").open("w+") as log:
        process = psutil.Popen(
            [perflab(), "run", *TWO, "--profile", "smoke", "--out", str(tmp_path / "run")],
            env=environment(temporary),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: kernels(process), 60)
        kernels(process)[0].kill()
        process.wait(120)
        log.seek(0)
        output = " ".join(log.read().split())
    assert process.returncode == 1, output
    assert "FAILED 01_database" in output
    assert "the kernel died" in output
    assert "done 09_scorecard" in output


def kernels(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children(recursive=True) if is_kernel(child)]


def is_kernel(process: psutil.Process) -> bool:
    try:
        return any("ipykernel" in word for word in process.cmdline())
    except psutil.Error:  # it has just ended
        return False


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def wait_until(true: object, seconds: float) -> None:
    assert callable(true)
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)
