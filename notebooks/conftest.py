"""nbval: runs go to a temporary folder, and the scorecard shows a small committed run.

08_peers runs only where the libraries are installed that it compares with.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from perflab.parameters import RIVALS

FIXTURE = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "run"


@pytest.fixture(scope="session", autouse=True)
def _runs() -> Iterator[None]:
    """Kernels inherit this environment."""
    runs = tempfile.mkdtemp(prefix="nbval-runs-")
    os.environ["PERFLAB_RUNS_DIR"] = runs
    os.environ["PERFLAB_RUN"] = str(FIXTURE)
    yield
    shutil.rmtree(runs, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, and say why."""
    missing = [name for name, module in RIVALS.items() if find_spec(module) is None]
    if not missing:
        return
    reason = f"the extra `peers` is not installed (missing: {', '.join(missing)}); see `make peers`"
    for item in items:
        if item.path.name == "08_peers.ipynb":
            item.add_marker(pytest.mark.skip(reason=reason))
