"""nbval: runs go to a temporary folder, and the scorecard shows a small committed run."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

FIXTURE = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "run"


@pytest.fixture(scope="session", autouse=True)
def _runs() -> Iterator[None]:
    """Kernels inherit this environment."""
    runs = tempfile.mkdtemp(prefix="nbval-runs-")
    os.environ["PERFLAB_RUNS_DIR"] = runs
    os.environ["PERFLAB_RUN"] = str(FIXTURE)
    yield
    shutil.rmtree(runs, ignore_errors=True)
