"""The committed notebooks: executed, thin, parameterised, and bound to the package by nbval."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import perflab
from perflab.parameters import NOTEBOOKS
from perflab.paths import data_dir, notebooks_dir

ALL = sorted(NOTEBOOKS)


def book(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((notebooks_dir() / f"{name}.ipynb").read_text())
    return found


def code_cells(name: str) -> list[dict[str, Any]]:
    return [c for c in book(name)["cells"] if c["cell_type"] == "code"]


@pytest.mark.parametrize("name", ALL)
def test_it_is_committed_executed_without_an_error(name: str) -> None:
    counts = [c["execution_count"] for c in code_cells(name)]
    assert counts == list(range(1, len(counts) + 1))
    assert not [o for c in code_cells(name) for o in c["outputs"] if o["output_type"] == "error"]


@pytest.mark.parametrize("name", ALL)
def test_it_has_one_parameters_cell_with_just_the_checked_parameters(name: str) -> None:
    (cell,) = [c for c in code_cells(name) if "parameters" in c["metadata"].get("tags", [])]
    namespace: dict[str, object] = {}
    exec("".join(cell["source"]), namespace)  # noqa: S102 - our own notebook's literals
    given = {key: value for key, value in namespace.items() if key != "__builtins__"}
    assert given == {f: getattr(NOTEBOOKS[name](), f) for f in NOTEBOOKS[name].__struct_fields__}


@pytest.mark.parametrize("name", ALL)
def test_its_cells_are_thin(name: str) -> None:
    assert max(len(c["source"]) for c in code_cells(name)) <= 25


@pytest.mark.parametrize("name", ALL)
def test_it_was_run_at_quick_and_holds_no_warning(name: str) -> None:
    text = json.dumps([c["outputs"] for c in code_cells(name)])
    assert "Traceback" not in text
    assert not [o for c in code_cells(name) for o in c["outputs"] if o.get("name") == "stderr"], (
        "stderr in a committed notebook"
    )


def test_a_changed_catalogue_without_the_notebook_fails_nbval(tmp_path: Path) -> None:
    """The same notebook, up to its catalogue, over the package as it is and with one index less."""
    trimmed = book("01_database")
    catalogue = next(
        n for n, c in enumerate(trimmed["cells"]) if "catalogue_frame" in "".join(c["source"])
    )
    trimmed["cells"] = trimmed["cells"][: catalogue + 1]
    assert run_nbval(trimmed, tmp_path / "same", drop_an_index=False).returncode == 0
    changed = run_nbval(trimmed, tmp_path / "changed", drop_an_index=True)
    assert changed.returncode == 1
    assert "1 failed" in changed.stdout


def run_nbval(
    notebook: dict[str, Any], folder: Path, *, drop_an_index: bool
) -> subprocess.CompletedProcess[str]:
    package = folder / "src" / "perflab"
    shutil.copytree(Path(perflab.__file__).parent, package)
    if not (package / "data").exists():
        shutil.copytree(data_dir(), package / "data")
    if drop_an_index:
        with (package / "schema" / "indexes.py").open("a") as file:
            file.write("\nCATALOGUE = CATALOGUE[:-1]\n")
    (folder / "book.ipynb").write_text(json.dumps(notebook))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "book.ipynb", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(folder / "src"),
            "PERFLAB_RUNS_DIR": str(folder / "runs"),
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_no_two_notebooks_keep_a_table_or_plot_under_one_name() -> None:
    kept = [
        found
        for name in ALL
        for cell in code_cells(name)
        for found in re.findall(r"lab\.(table|plot)\(\s*\"(\w+)\"", "".join(cell["source"]))
    ]
    assert len(kept) > 30
    assert len(set(kept)) == len(kept), "they would overwrite each other in a run's folder"
