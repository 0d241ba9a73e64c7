"""The wheel carries everything: installed elsewhere, it imports whole and examines the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from perflab.parameters import NOTEBOOKS
from perflab.paths import checkout_dir

IMPORT_ALL = """
import importlib, pathlib, pkgutil, perflab
assert pathlib.Path(perflab.__file__).is_relative_to({where!r}), perflab.__file__
names = [m.name for m in pkgutil.walk_packages(perflab.__path__, "perflab.")]
for name in names:
    importlib.import_module(name)
from perflab.measure.claims import load_claims
from perflab.paths import notebooks_dir
from perflab.profiles import load_profiles
notebooks = list(notebooks_dir().glob("*.ipynb"))
print(len(names), len(load_claims()), len(load_profiles()), len(notebooks))
"""


def run(*argv: str, cwd: Path) -> str:
    # of a checkout whose sources are on the path nothing may be found
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        argv, capture_output=True, text=True, cwd=cwd, env=clean, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel; its dependencies are those of this one."""
    checkout = checkout_dir()
    assert checkout is not None, "the tests run from a checkout"
    folder = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"),
        *("--wheel-dir", str(folder), str(checkout)),
        cwd=folder,
    )
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    (wheel,) = folder.glob("perflab-*.whl")
    run(str(python), "-m", "pip", "install", "--no-deps", "--quiet", str(wheel), cwd=folder)
    # read after the environment's own packages, and a .pth inside it is not followed
    (site,) = folder.glob("env/lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "env"


def test_every_module_imports_and_the_data_came_along(fresh: Path, tmp_path: Path) -> None:
    found = run(str(fresh / "bin/python"), "-c", IMPORT_ALL.format(where=str(fresh)), cwd=tmp_path)
    modules, claims, profiles, notebooks = map(int, found.split())
    assert modules > 40
    assert claims > 50
    assert profiles == 3
    assert notebooks == len(NOTEBOOKS)


def test_doctor_runs_from_the_wheel(fresh: Path, tmp_path: Path) -> None:
    assert "postgres" in run(str(fresh / "bin/perflab"), "doctor", cwd=tmp_path)
