"""How often the proof of the intervals repeats its experiments."""

from __future__ import annotations

import os

import pytest

DEFAULT_REPETITIONS = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--repetitions",
        type=int,
        default=None,
        help="experiments simulated per scenario (also: PERFLAB_REPETITIONS); 1000 is the proof",
    )


@pytest.fixture(scope="session")
def repetitions(pytestconfig: pytest.Config) -> int:
    # Run from the project's root the option is unknown: this file is loaded too late for it.
    chosen = pytestconfig.getoption("--repetitions", default=None)
    return int(chosen or os.environ.get("PERFLAB_REPETITIONS", DEFAULT_REPETITIONS))
