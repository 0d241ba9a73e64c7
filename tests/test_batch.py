"""The batch reports a failed cell, a timeout and a dead kernel as what they are."""

from __future__ import annotations

import gc
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from perflab.batch import Deadline, Outcome, kernel_environment, run_notebook
from perflab.runs import RunFolder

QUICKLY = 60.0


def notebook(folder: Path, *cells: str) -> Path:
    book = nbformat.v4.new_notebook()
    book.cells = [
        nbformat.v4.new_markdown_cell("# The heading"),
        *(nbformat.v4.new_code_cell(cell) for cell in cells),
    ]
    book.cells[1].metadata["tags"] = ["parameters"]
    book.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    path = folder / "book.ipynb"
    nbformat.write(book, path)
    return path


def run(tmp_path: Path, *cells: str, deadline_s: float = QUICKLY) -> Outcome:
    return run_notebook(
        "book",
        {},
        RunFolder(tmp_path / "run"),
        deadline=Deadline(deadline_s),
        source=notebook(tmp_path, *cells),
    )


def outputs(tmp_path: Path) -> str:
    book = json.loads((tmp_path / "run/notebooks/book.ipynb").read_text())
    return json.dumps([cell.get("outputs") for cell in book["cells"]])


def test_a_notebook_that_runs_is_ok_and_written(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    outcome = run_notebook(
        "book",
        {"x": 5},
        RunFolder(tmp_path / "run"),
        deadline=Deadline(QUICKLY),
        on_cell=lambda done, total, heading: seen.append((done, total, heading)),
        source=notebook(tmp_path, "x = 1", "print('x is', x)"),
    )
    assert outcome.ok
    assert "x is 5" in outputs(tmp_path)
    assert seen[0] == (0, 3, "The heading")
    assert seen[-1][:2] == (3, 3)


def test_a_failed_cell_is_named_with_its_reason_and_what_ran_is_kept(tmp_path: Path) -> None:
    outcome = run(tmp_path, "x = 1", "print('kept')", "raise ValueError('no good')", "print('not')")
    assert outcome.failure == "code cell 3 of 4 (The heading): ValueError: no good"
    assert "kept" in outputs(tmp_path)


def test_a_dead_kernel_is_a_failure(tmp_path: Path) -> None:
    outcome = run(tmp_path, "x = 1", "import os; os.kill(os.getpid(), 9)")
    assert outcome.failure == "code cell 2 of 2 (The heading): the kernel died"


def test_a_cell_that_outlasts_the_deadline_is_stopped(tmp_path: Path) -> None:
    outcome = run(tmp_path, "x = 1", "import time; time.sleep(600)", deadline_s=6)
    assert "code cell 2 of 2" in outcome.failure
    assert "deadline of 6 s" in outcome.failure


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Whoever starts tests in the background may have had SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_ends_the_cell_before_its_kernel(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], interruptible: None
) -> None:
    cell = "import os, signal, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, cell)
    gc.collect()  # a task whose exception nobody read speaks up when it is collected
    said = capfd.readouterr().err  # at most the kernel's one line, that it was interrupted
    assert "Traceback" not in said
    assert "never retrieved" not in said


def test_a_notebook_after_the_deadline_is_not_started(tmp_path: Path) -> None:
    now = [0.0]
    deadline = Deadline(10, clock=lambda: now[0])
    now[0] = 11
    outcome = run_notebook(
        "book", {}, RunFolder(tmp_path), deadline=deadline, source=tmp_path / "absent.ipynb"
    )
    assert outcome.failure.startswith("not started")


def test_a_missing_notebook_is_a_failure_not_a_traceback(tmp_path: Path) -> None:
    outcome = run_notebook(
        "book",
        {},
        RunFolder(tmp_path),
        deadline=Deadline(QUICKLY),
        source=tmp_path / "absent.ipynb",
    )
    assert not outcome.ok
    assert "before the first cell" in outcome.failure


def test_the_kernels_environment_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setenv("PERFLAB_RUN_DIR", "earlier")
    with kernel_environment(RunFolder(tmp_path), tmp_path / "share.json"):
        assert os.environ["PERFLAB_RUN_DIR"] == str(tmp_path)
        assert os.environ["PERFLAB_SERVICES_FILE"] == str(tmp_path / "share.json")
    assert os.environ["PERFLAB_RUN_DIR"] == "earlier"
    assert "PERFLAB_SERVICES_FILE" not in os.environ
