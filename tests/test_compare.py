"""``perflab compare``: what it refuses, what it says, how it ends, and the rerun that confirms."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer.main
import yaml  # type: ignore[import-untyped]  # no stubs in the test extra
from typer.testing import CliRunner

from perflab.cli import app
from perflab.errors import PerflabError
from perflab.files import write_document
from perflab.measure.environment import Environment, ServerFacts, capture, write_environment
from perflab.measure.regression import Tolerances
from perflab.measure.results import Origin, Result, read_results, write_results
from perflab.measure.speed import SpeedRecord
from perflab.measure.statistics import exact
from perflab.runs import Manifest, NotebookRun, RunFolder, read_manifest
from perflab.studies import regression as study
from smoke_run import SmokeRun

FIXTURES = Path(__file__).parent / "fixtures"
REAL = FIXTURES / "runs_aa"
DOCS = Path(__file__).parents[1] / "docs" / "ci.md"
LEFT_OUT = ["idx_habit_entries_habit_date"]


@dataclass(frozen=True)
class Said:
    exit_code: int
    text: str


def compare(*arguments: str | Path) -> Said:
    """The command in this process, with the exit code that ``main`` would give."""
    done = CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": "200"})
    if isinstance(done.exception, PerflabError):
        return Said(2, str(done.exception))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Said(done.exit_code, " ".join(done.output.split()))


def command(name: str) -> Any:
    """A subcommand as typer built it, to look at its options."""
    group: Any = typer.main.get_command(app)
    return group.commands[name]


def copied(tmp_path: Path, name: str, as_name: str = "") -> Path:
    target = tmp_path / (as_name or name)
    shutil.copytree(REAL / name, target)
    return target


def rewritten(folder: Path, change: Callable[[Result], Result | None]) -> None:
    path = folder / "results" / "01_database.json"
    write_results(path, [new for r in read_results(path) if (new := change(r))])


def from_elsewhere(**changes: Any) -> Callable[[Result], Result]:
    def change(result: Result) -> Result:
        origin: Origin = msgspec.structs.replace(result.origin, **changes)
        return msgspec.structs.replace(result, origin=origin)

    return change


def manifest(folder: Path, **changes: Any) -> None:
    plain = Manifest(
        id=folder.name,
        perflab="0.1.0",
        started_at="2026-01-01T00:00:00+00:00",
        status="done",
        profile="quick",
        services="auto",
        seed=42,
        notebooks=(NotebookRun(name="01_database", parameters={}, status="done"),),
    )
    write_document(RunFolder(folder).manifest, msgspec.structs.replace(plain, **changes))


# --- how it ends ---


def test_two_runs_of_the_same_system_show_no_regression() -> None:
    said = compare(REAL / "aa2", REAL / "aa1")
    assert said.exit_code == 0
    assert "aa2 against aa1: no regression" in said.text


def test_a_run_without_an_index_names_what_got_worse() -> None:
    said = compare(REAL / "no_habit_date", REAL / "aa1")
    assert said.exit_code == 1
    assert "database.habits.improvement" in said.text
    assert "met → missed" in said.text
    assert "database.query.habit_history" in said.text


def test_the_console_names_every_figure_only_when_asked() -> None:
    quiet, loud = compare(REAL / "aa2", REAL / "aa1"), compare(REAL / "aa2", REAL / "aa1", "--all")
    assert "database.query.notes_recent" not in quiet.text
    assert "database.query.notes_recent" in loud.text


@pytest.mark.parametrize(
    ("run", "arguments", "code"),
    [("aa2", [], 0), ("no_habit_date", [], 1), ("no_habit_date", ["--tolerance", "-1"], 2)],
)
def test_the_command_itself_ends_with_these_codes(
    run: str, arguments: list[str], code: int
) -> None:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("perflab")),
            *("compare", str(REAL / run), str(REAL / "aa1")),
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("option", ["--tolerance", "--absolute"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_tolerance_that_nothing_exceeds_is_refused(option: str, value: str) -> None:
    said = compare(REAL / "no_habit_date", REAL / "aa1", option, value)
    assert said.exit_code == 2
    assert "finite" in said.text or "greater than or equal to 0" in said.text


def test_a_wide_tolerance_lets_a_regression_pass_but_not_a_broken_promise() -> None:
    said = compare(REAL / "no_habit_date", REAL / "aa1", "--tolerance", "100000")
    assert said.exit_code == 1
    assert "database.habits.improvement" in said.text
    assert "database.query.habit_history" not in said.text


def test_the_default_tolerance_of_the_command_is_that_of_the_measurement() -> None:
    defaults = {p.name: p.default for p in command("compare").params}
    assert defaults["tolerance"] == Tolerances().ratio
    assert defaults["absolute"] is Tolerances().absolute is None


# --- the page for a build's summary ---


def test_the_markdown_page_holds_the_outcome_and_every_figure(tmp_path: Path) -> None:
    page = tmp_path / "new" / "compare.md"
    assert compare(REAL / "no_habit_date", REAL / "aa1", "--markdown", page).exit_code == 1
    text = page.read_text()
    lines = text.splitlines()
    assert lines[0].startswith("## no_habit_date against aa1: ")
    rows = [line for line in lines if line.startswith("| ")]
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1, "a ragged table"
    shown, folded = text.split("<details>")
    assert "| database.query.habit_history | median reduction |" in shown
    assert "database.query.notes_recent" not in shown
    assert "| database.query.notes_recent | median reduction |" in folded
    assert "times and rates are shown and do not fail" in shown


def test_a_page_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = compare(REAL / "aa2", REAL / "aa1", "--out", tmp_path / "file" / "page.md")
    assert said.exit_code == 2
    assert "--markdown" in said.text


# --- what it refuses ---


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"environment_id": "another"}, "machine: another against"),
        ({"rung": "docker"}, "rung: docker against embedded"),
        ({"profile": "full"}, "profile: full against quick"),
        ({"seed": 7}, "seed: 7 against 42"),
    ],
)
def test_runs_that_differ_in_what_is_measured_are_refused_unless_forced(
    changes: dict[str, object], named: str, tmp_path: Path
) -> None:
    run = copied(tmp_path, "aa2")
    rewritten(run, from_elsewhere(**changes))
    said = compare(run, REAL / "aa1")
    assert said.exit_code == 2
    assert named in said.text
    assert "--force" in said.text
    page = tmp_path / "page.md"
    forced = compare(run, REAL / "aa1", "--force", "--markdown", page)
    assert forced.exit_code == 0
    assert f"forced in spite of {named}" in forced.text
    assert f"forced in spite of {named}" in page.read_text()


def test_another_server_version_is_compared_and_named(tmp_path: Path) -> None:
    run = copied(tmp_path, "aa2")
    rewritten(run, from_elsewhere(server_version="PostgreSQL 19.1"))
    said = compare(run, REAL / "aa1")
    assert said.exit_code == 0
    assert "server: PostgreSQL 19.1 against PostgreSQL 18.6" in said.text


def test_other_settings_and_parameters_are_named(tmp_path: Path) -> None:
    run, base = copied(tmp_path, "aa2"), copied(tmp_path, "aa1")
    plain = capture()
    for folder, work_mem in ((run, "1MB"), (base, "4MB")):
        facts = ServerFacts("embedded", "18.6", {"work_mem": work_mem, "fsync": "on"})
        found: Environment = msgspec.structs.replace(plain, servers={"postgres": facts})
        write_environment(RunFolder(folder).environment, found)
    notebook = NotebookRun(
        name="01_database", parameters={"without_indexes": LEFT_OUT}, status="done"
    )
    manifest(run, notebooks=(notebook,))
    manifest(base)
    said = compare(run, base)
    assert said.exit_code == 0
    assert "postgres setting work_mem: 1MB against 4MB" in said.text
    assert "fsync" not in said.text
    assert "01_database, parameter without_indexes: ['idx_habit" in said.text


@pytest.mark.parametrize(
    ("looks", "words"),
    [((30.0, 20.0, 25.0), "ran at 50% of the speed that it had in the base"), ((41.0,), "")],
)
def test_a_machine_of_another_speed_is_named(
    tmp_path: Path, looks: tuple[float, ...], words: str
) -> None:
    run, base = copied(tmp_path, "aa2"), copied(tmp_path, "aa1")
    for folder, seen in ((run, looks), (base, (50.0,))):
        record = SpeedRecord(best=60.0, looks={"01_database": seen})
        write_document(RunFolder(folder).speed, record)
    said = compare(run, base)
    assert said.exit_code == 0
    assert words in said.text
    assert ("the machine ran at" in said.text) == bool(words)


@pytest.mark.parametrize("status", ["running", "stopped"])
@pytest.mark.parametrize("which", ["run", "base"])
def test_an_unfinished_run_is_refused(status: str, which: str, tmp_path: Path) -> None:
    folders = {"run": copied(tmp_path, "aa2"), "base": copied(tmp_path, "aa1")}
    manifest(folders[which], status=status)
    said = compare(folders["run"], folders["base"], "--force")
    assert said.exit_code == 2
    assert f"did not finish ({status})" in said.text
    assert folders[which].name in said.text


def test_a_notebook_that_failed_makes_its_figures_vanish(tmp_path: Path) -> None:
    run, base = copied(tmp_path, "aa2"), copied(tmp_path, "aa1")
    results = read_results(base / "results" / "01_database.json")
    other = from_elsewhere(notebook="03_cache")(results[-1])
    write_results(base / "results" / "03_cache.json", [msgspec.structs.replace(other, name="hits")])
    assert compare(run, base).exit_code == 0, "it was not asked for 03_cache"
    failed = NotebookRun(name="03_cache", parameters={}, status="failed", failure="cell 3: Error")
    manifest(run, status="failed", notebooks=(failed,))
    said = compare(run, base)
    assert said.exit_code == 1
    assert "hits" in said.text
    assert "vanished" in said.text
    assert "run: 03_cache failed: cell 3: Error" in said.text


def test_missing_empty_corrupt_and_unrelated_runs_are_one_clear_line(tmp_path: Path) -> None:
    base = REAL / "aa1"
    empty, corrupt, other = tmp_path / "empty", copied(tmp_path, "aa2"), copied(tmp_path, "aa3")
    (empty / "results").mkdir(parents=True)
    (corrupt / "results" / "01_database.json").write_text('{"format": "perflab-res')
    rewritten(other, lambda r: msgspec.structs.replace(r, name=f"other.{r.name}"))
    cases: dict[str, tuple[str | Path, Path]] = {
        "no run of that name or folder": ("absent", base),
        "no results": (empty, base),
        "not valid JSON": (corrupt, base),
        "no measurement in common": (other, base),
        "is the base itself": (base, base),
    }
    for named, (run, against) in cases.items():
        said = compare(run, against)
        assert said.exit_code == 2, named
        assert named in said.text
        assert "\n" not in said.text


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    run = copied(tmp_path, "aa2")
    (run / "run.json").write_text("{}")
    said = compare(run, REAL / "aa1")
    assert said.exit_code == 2
    assert "run.json" in said.text


# --- the rerun that confirms ---


@dataclass
class Batch:
    """In the place of the real batch: copies a run's results into the folder asked for."""

    gives: str
    asked: list[tuple[Sequence[str], dict[str, object], dict[str, dict[str, object]]]]

    def __call__(
        self,
        chosen: Sequence[str],
        common: dict[str, object],
        given: dict[str, dict[str, object]],
        out: Path,
    ) -> bool:
        self.asked.append((chosen, common, given))
        if self.gives:
            shutil.copytree(REAL / self.gives, out)
        return bool(self.gives)


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> Batch:
    stub = Batch("no_habit_date", [])
    here = read_results(REAL / "aa1" / "results" / "01_database.json")[0].origin.environment_id
    environment: Environment = msgspec.structs.replace(capture(), id=here)
    monkeypatch.setattr("perflab.cli.session.run_batch", stub)
    monkeypatch.setattr(study, "capture", lambda: environment)
    return stub


@pytest.fixture
def suspected(tmp_path: Path) -> Path:
    run = copied(tmp_path, "no_habit_date")
    notebook = NotebookRun(
        name="01_database", parameters={"without_indexes": LEFT_OUT}, status="done"
    )
    asleep = NotebookRun(name="09_scorecard", parameters={}, status="done")
    manifest(run, notebooks=(notebook, asleep))
    return run


def test_a_regression_that_is_seen_again_fails_the_build(suspected: Path, batch: Batch) -> None:
    said = compare(suspected, REAL / "aa1", "--confirm")
    assert said.exit_code == 1
    assert "suspected: database.query.habit_history (median_reduction_percent)" in said.text
    assert "running 01_database again" in said.text
    assert "confirmed: +" in said.text
    assert re.search(r"(\d+) of \1 seen again in no_habit_date-again1", said.text)


def test_the_rerun_gets_the_run_s_own_parameters_and_only_suspected_notebooks(
    suspected: Path, batch: Batch
) -> None:
    compare(suspected, REAL / "aa1", "--confirm")
    ((chosen, common, given),) = batch.asked
    assert chosen == ["01_database"]
    assert given == {"01_database": {"without_indexes": LEFT_OUT}}
    assert common == {"profile": "quick", "services": "embedded", "seed": 42, "claims": ""}
    assert (suspected.parent / "no_habit_date-again1").is_dir()


def test_a_regression_that_is_not_seen_again_does_not_fail_the_build(
    suspected: Path, batch: Batch, tmp_path: Path
) -> None:
    batch.gives = "aa4"
    page = tmp_path / "page.md"
    said = compare(suspected, REAL / "aa1", "--confirm", "--markdown", page)
    assert said.exit_code == 0
    assert "not seen again" in said.text
    assert "no regression is confirmed" in said.text
    assert "not seen again" in page.read_text()


def test_only_the_figures_that_fail_in_both_runs_are_confirmed(
    suspected: Path, batch: Batch
) -> None:
    batch.gives = "no_A"  # other indexes left out: other queries regress
    said = compare(suspected, REAL / "aa1", "--confirm", "--tolerance", "10")
    report = study.compare(study.read_run(str(suspected)), study.read_run(str(REAL / "aa1")))
    again = study.compare(study.read_run(str(REAL / "no_A")), study.read_run(str(REAL / "aa1")))
    both = {c.key for c in report.failing} & {c.key for c in again.failing}
    assert "not seen again" in said.text
    assert said.exit_code == (1 if both else 0)


def test_a_rerun_that_measures_nothing_confirms_the_suspicion(
    suspected: Path, batch: Batch
) -> None:
    batch.gives = ""
    said = compare(suspected, REAL / "aa1", "--confirm")
    assert said.exit_code == 1
    assert "confirmed: vanished" in said.text


def test_nothing_is_rerun_where_nothing_is_suspected(batch: Batch, tmp_path: Path) -> None:
    assert compare(REAL / "aa2", REAL / "aa1", "--confirm").exit_code == 0
    assert not batch.asked


def test_a_second_confirmation_gets_a_folder_of_its_own(suspected: Path, batch: Batch) -> None:
    for _ in range(2):
        compare(suspected, REAL / "aa1", "--confirm")
    assert (suspected.parent / "no_habit_date-again2").is_dir()


def test_a_run_that_does_not_say_how_it_was_made_is_not_guessed_at(batch: Batch) -> None:
    said = compare(REAL / "no_habit_date", REAL / "aa1", "--confirm")
    assert said.exit_code == 2
    assert "no run.json" in said.text
    assert not batch.asked


def test_a_run_of_another_machine_is_not_confirmed_here(
    suspected: Path, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere: Environment = msgspec.structs.replace(capture(), id="elsewhere")
    monkeypatch.setattr(study, "capture", lambda: elsewhere)
    said = compare(suspected, REAL / "aa1", "--confirm")
    assert said.exit_code == 2
    assert "another machine" in said.text
    assert not batch.asked


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_suspicion_is_confirmed_by_a_real_rerun_with_the_run_s_parameters(
    tmp_path: Path, smoke_run: SmokeRun
) -> None:
    """The suspected run is the base with one figure made worse; its rerun really is worse."""

    def worse(result: Result) -> Result:
        if result.name != "database.buffers.export_page":
            return result
        return msgspec.structs.replace(result, value=exact(1e9))

    base, run = tmp_path / "base", tmp_path / "run"
    of_base = database_alone(smoke_run.run, base)
    shutil.copytree(base, run)
    rewritten(run, worse)
    left_out = {"without_indexes": ["idx_tasks_created"]}
    changed = msgspec.structs.replace(of_base.notebooks[0], parameters=left_out)
    write_document(
        RunFolder(run).manifest, msgspec.structs.replace(of_base, id="run", notebooks=(changed,))
    )
    said = subprocess.run(
        [str(Path(sys.executable).with_name("perflab")), "compare", "run", "base", "--confirm"],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PERFLAB_PROFILES": str(FIXTURES / "profiles.toml"),
            "PERFLAB_RUNS_DIR": str(tmp_path),
            "COLUMNS": "200",
        },
        timeout=420,
        check=False,
    )
    assert said.returncode == 1, said.stdout + said.stderr
    assert "1 of 1 seen again in run-again1" in said.stdout
    again = read_manifest(RunFolder(tmp_path / "run-again1").manifest)
    assert again.notebooks[0].parameters == left_out
    assert again.profile == "smoke"


def database_alone(run: Path, target: Path) -> Manifest:
    """A copy of a run as if 01_database had been all of it, and its manifest."""
    shutil.copytree(run, target)
    for path in (target / "results").iterdir():
        if path.stem != "01_database":
            path.unlink()
    found = read_manifest(RunFolder(target).manifest)
    only = tuple(notebook for notebook in found.notebooks if notebook.name == "01_database")
    alone: Manifest = msgspec.structs.replace(found, id=target.name, notebooks=only)
    write_document(RunFolder(target).manifest, alone)
    return alone


# --- docs/ci.md ---


def workflow() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        re.search(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]  # type: ignore[index]
    )
    return found


def shell_lines() -> list[str]:
    steps = [step for job in workflow()["jobs"].values() for step in job["steps"]]
    return [line for step in steps for line in step.get("run", "").splitlines()]


def test_the_workflow_measures_compares_and_keeps_the_report() -> None:
    ((_, job),) = workflow()["jobs"].items()
    said = "\n".join(shell_lines())
    for part in ("make lab", "make nbval", "perflab compare", "--confirm", "GITHUB_STEP_SUMMARY"):
        assert part in said, part
    uses = [step["uses"].split("@")[0] for step in job["steps"] if "uses" in step]
    assert {"actions/upload-artifact", "actions/cache/restore", "actions/cache/save"} <= set(uses)
    kept = " ".join(str(step.get("with", {}).get("path", "")) for step in job["steps"])
    assert "report.html" in kept


def test_every_command_and_option_of_the_workflow_exists() -> None:
    checked = 0
    for line in shell_lines():
        for words in re.findall(r"perflab (?!base)([a-z]+ [^|;&\n]*)", line):
            name, *rest = words.split()
            known = {option for p in command(name).params for option in p.opts}
            assert {w.split("=")[0] for w in rest if w.startswith("-")} <= known
            checked += 1
    assert checked


def test_every_make_target_and_variable_of_the_workflow_exists() -> None:
    makefile = (DOCS.parents[1] / "Makefile").read_text()
    called = [
        line.strip().split()[1:] for line in shell_lines() if line.strip().startswith("make ")
    ]
    assert called
    for target, *variables in called:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
        for variable in variables:
            assert re.search(rf"^{variable.split('=')[0]}\s*\?=", makefile, re.MULTILINE), variable


def test_the_workflow_s_own_python_runs() -> None:
    codes = re.findall(r"python -c '([^']+)'", "\n".join(shell_lines()))
    assert codes
    for code in codes:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.strip() == capture().id
