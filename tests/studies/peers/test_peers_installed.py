"""08_peers runs when it is asked for, where the other libraries are installed."""

from __future__ import annotations

import importlib.util
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from perflab import parameters
from perflab.errors import ParameterError
from perflab.parameters import DEFAULT_NOTEBOOKS, NOTEBOOKS, RIVALS, check, notebook_name
from perflab.paths import notebooks_dir
from perflab.studies.peers import versions_frame


def without(name: str) -> Any:
    return lambda asked: None if asked == name else object()


def test_it_is_known_but_left_out_where_no_notebook_is_named() -> None:
    assert notebook_name("notebooks/08_peers.ipynb") == "08_peers"
    assert set(NOTEBOOKS) - set(DEFAULT_NOTEBOOKS) == {"08_peers"}


def test_a_missing_library_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "find_spec", without("cashews"))
    with pytest.raises(ParameterError, match=r"not installed here: cashews; `make peers`"):
        check(NOTEBOOKS["08_peers"], {})


def test_with_all_of_them_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "find_spec", without("something else"))
    assert not check(NOTEBOOKS["08_peers"], {}).lab_data


@pytest.fixture
def nbval_conftest() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "notebooks_conftest", notebooks_dir() / "conftest.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Item:
    def __init__(self, name: str) -> None:
        self.path = SimpleNamespace(name=name)
        self.reasons: list[str] = []

    def add_marker(self, mark: pytest.MarkDecorator) -> None:
        self.reasons.append(mark.kwargs["reason"])


def test_nbval_skips_it_and_says_what_is_missing(
    nbval_conftest: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nbval_conftest, "find_spec", without("theine"))
    peers, database = Item("08_peers.ipynb"), Item("01_database.ipynb")
    nbval_conftest.pytest_collection_modifyitems([peers, database])
    (reason,) = peers.reasons
    assert "missing: theine" in reason
    assert not database.reasons


def test_nbval_runs_it_where_everything_is_installed(
    nbval_conftest: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nbval_conftest, "find_spec", without("something else"))
    peers = Item("08_peers.ipynb")
    nbval_conftest.pytest_collection_modifyitems([peers])
    assert not peers.reasons


@pytest.mark.usefixtures("rivals")
def test_the_versions_of_all_sides_are_shown() -> None:
    frame = versions_frame().set_index("library")["version"]
    assert set(RIVALS) | {"perflab", "redis"} <= set(frame.index)
    assert all(version[0].isdigit() for version in frame)
