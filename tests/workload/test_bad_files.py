"""A corpus of mistakes: each file's first line is part of the one line that answers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from perflab.datasets import Datasets
from perflab.errors import PerflabError
from perflab.parameters import DatabaseParameters
from perflab.profiles import Profile, load_profile
from perflab.services import Services
from perflab.studies.database.brought import Brought
from perflab.workload import check_claims, load_workload

BAD = sorted((Path(__file__).parent / "bad").glob("*.toml"))


@dataclass
class Bench:
    """A lab without a notebook."""

    services: Services
    closing: list[Callable[[], object]]

    @property
    def datasets(self) -> Datasets:
        raise AssertionError("a workload needs none of the lab's own data")

    @property
    def profile(self) -> Profile:
        return load_profile("quick")

    def at_close(self, callback: Callable[[], object]) -> None:
        self.closing.append(callback)


def make_arms(path: Path, services: Services) -> None:
    """What a run does with a workload before it times anything."""
    workload = load_workload(path)
    check_claims(workload, [], "")
    bench = Bench(services, [])
    try:
        Brought(workload, DatabaseParameters(workload=str(path))).make_arms(
            bench, lambda what, done, total: None
        )
    finally:
        for callback in bench.closing:
            callback()


def test_the_corpus_is_large() -> None:
    assert len(BAD) >= 25


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_mistake_is_answered_in_one_line_that_names_the_place(
    path: Path, services: Services
) -> None:
    expected = path.read_text().splitlines()[0].removeprefix("# ")
    with pytest.raises(PerflabError) as caught:
        make_arms(path, services)
    message = str(caught.value)
    assert expected in message
    assert message.startswith(str(path))
    assert "\n" not in message
