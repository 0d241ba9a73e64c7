"""The command line: a mistake is one line and exit code 2, before anything starts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from perflab.paths import data_dir, notebooks_dir
from perflab.runs import read_manifest

LONG = "n" * 300
"""A name that no file system takes."""


def perflab(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("perflab")), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["02_nothing"], "notebook '02_nothing' is unknown"),
        (["--profile", "huge"], "profile='huge'"),
        (["--services", "cloud"], "services='cloud'"),
        (["--seed", "-1"], "seed=-1"),
        (["--seed", "x"], "--seed"),
        (["--claims", "absent.toml"], "absent.toml"),
        (["-p", "foo=1"], "unknown parameter 'foo'"),
        (["-p", "without_indexes"], "name=value"),
        (["-p", "plan_cache_mode=fast"], "plan_cache_mode='fast'"),
        (["--services", "docker"], "no daemon"),
    ],
)
def test_a_mistake_is_named_without_a_traceback(
    arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_RUNS_DIR", str(tmp_path / "runs"))
    done = perflab("run", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert named in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert not list(tmp_path.glob("runs/*/notebooks/*"))


def test_a_claims_file_with_a_mistake_names_key_and_line(tmp_path: Path) -> None:
    bad = tmp_path / "claims.toml"
    bad.write_text('title = "mine"\n[[claim]]\nid = "a.b"\ntarget = "much"\n')
    done = perflab("run", "--claims", str(bad), cwd=tmp_path)
    assert done.returncode == 2
    assert "line 4" in done.stderr
    assert "target" in done.stderr


def test_an_out_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    done = perflab("run", "--out", "full", cwd=tmp_path)
    assert done.returncode == 2
    assert "--out full" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["frob"],
        ["--frob"],
        ["report", "absent"],
        ["compare", "newest"],
        ["compare", "absent", "absent"],
        ["load", "absent.toml"],
        ["load", "."],
        ["load", "absent.toml", "--duration", "x"],
        ["advise", "--services", "cloud"],
        ["advise", "--workload", "absent.sql"],
        ["advise", "--out", "."],
        ["serve", "--accounts", "."],
        ["serve", "--accounts", "absent/accounts.csv"],
        ["load", "absent.toml", "--json", "."],
        ["compare", "absent", "absent", "--markdown", "."],
        *(
            ["advise", option, "inf"]
            for option in (
                "--max-mib",
                "--slow-ms",
                "--slow-share",
                "--copy-mib",
                "--copy-seconds",
            )
        ),
        ["advise", "--max-mib", "nan"],
        ["alerts", "--watch", "http://127.0.0.1:9/metrics", "--seconds", "inf"],
        ["run", "07_capacity", "-p", "think_s=Infinity"],
        ["run", "01_database", "-p", f"without_indexes={'[' * 50_000}"],
        ["alerts", "absent.toml"],
        ["alerts", "--watch", "nowhere"],
        ["alerts", "--webhook"],
        ["alerts", "--prometheus", "--seconds", "1"],
        ["report", LONG],
        ["run", "--out", LONG],
        ["run", "--claims", LONG],
        ["run", "03_cache", "-p", f"trace={LONG}"],
        ["serve", "--port", "0"],
        ["serve", "--profile", "huge"],
        ["doctor", "--frob"],
    ],
)
def test_a_mistake_of_any_command_is_one_line_on_standard_error(
    arguments: list[str], tmp_path: Path
) -> None:
    done = perflab(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    "arguments",
    [["run", "05_realtime"], ["run", "09_scorecard"], ["advise"], ["serve"], ["doctor"]],
)
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PERFLAB_CACHE_DIR", "a-file"),
        ("PERFLAB_CACHE_DIR", "a-file/below"),
        ("PERFLAB_POSTGRES_IMAGE", "Bad Image!"),
    ],
)
def test_a_bad_setting_is_named_before_anything_starts(
    arguments: list[str], variable: str, value: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("PERFLAB_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv(variable, value)
    done = perflab(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert f"{variable}={value}: " in done.stderr
    assert "unset it" in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("value", ["a-file", "a-file/below", "~nobody-of-that-name/runs"])
def test_a_folder_of_runs_that_cannot_be_is_told_before_servers_start(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("PERFLAB_RUNS_DIR", value)
    done = perflab("run", "05_realtime", cwd=tmp_path)
    assert done.returncode == 2
    assert "PERFLAB_RUNS_DIR" in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


def test_without_a_command_the_help_is_printed(tmp_path: Path) -> None:
    done = perflab(cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "doctor" in done.stdout


def test_a_run_records_what_ran_however_it_was_written(tmp_path: Path) -> None:
    claims = data_dir() / "claims.toml"
    mine = tmp_path / "mine.toml"
    mine.write_text(claims.read_text().replace("title = ", "title = 'Mine' # ", 1))
    written = ["-p", "seed=7", "-p", "profile", "standard", "-p", "run=newest"]
    written += ["-p", "claims=mine.toml"]
    done = perflab("run", "09_scorecard", *written, "--out", "run", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr  # 1 where there is no run yet to be shown
    manifest = read_manifest(tmp_path / "run" / "run.json")
    assert (manifest.profile, manifest.seed) == ("standard", 7)
    assert manifest.notebooks[0].parameters == {"run": "newest"}
    assert (tmp_path / "run" / "claims.toml").read_bytes() == mine.read_bytes()


def test_doctor_names_the_servers_and_what_it_looked_at(tmp_path: Path) -> None:
    done = perflab("doctor", cwd=tmp_path)
    assert done.returncode == 0
    for subject in ("postgres", "redis", "versions", "cores", "file descriptors", "disk", "noise"):
        assert subject in done.stdout.replace("temporary folder", "disk"), subject


@pytest.mark.parametrize(
    ("parameters", "named"), [({"foo": 1}, "unknown parameter 'foo'"), ({"seed": "x"}, "seed='x'")]
)
def test_plain_papermill_refuses_them_too(
    parameters: dict[str, object], named: str, tmp_path: Path
) -> None:
    with pytest.raises(PapermillExecutionError) as caught:
        papermill.execute_notebook(
            notebooks_dir() / "01_database.ipynb",
            tmp_path / "out.ipynb",
            parameters=parameters,
            progress_bar=False,
        )
    assert caught.value.ename == "ParameterError"
    assert named in caught.value.evalue
    # the second code cell after the injected one: nothing had started
    assert caught.value.exec_count == 3


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("absent", "absent: no run of that name or folder; runs are in"),
        ("newest", "`perflab run` makes one"),
        (".", ".: is no run"),
        ("a-file", "a-file: no run of that name or folder"),
    ],
)
def test_a_report_of_no_run_is_one_line(
    name: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_RUNS_DIR", str(tmp_path / "runs"))
    (tmp_path / "a-file").touch()
    done = perflab("report", name, cwd=tmp_path)
    assert done.returncode == 2
    assert named in " ".join(done.stderr.split())
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


def test_a_report_is_rebuilt_by_id_and_names_what_it_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_RUNS_DIR", str(tmp_path))
    run = tmp_path / "mine"
    shutil.copytree(Path(__file__).parent / "fixtures" / "run", run)
    (run / "results" / "02_half.json").write_text('{"format"')
    done = perflab("report", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"report: {run / 'report.html'}" in done.stdout
    assert "left out: results/02_half.json: not valid JSON" in done.stdout
    assert "database.tasks.improvement" in (run / "report.html").read_text()
