"""Parameters are checked by name, type and range before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflab.cache.traces import TraceError
from perflab.errors import ParameterError
from perflab.parameters import (
    NOTEBOOKS,
    CacheParameters,
    DatabaseParameters,
    ScorecardParameters,
    check,
    injected,
    notebook_name,
    parse_assignments,
)


def test_defaults_are_the_quick_profile() -> None:
    assert check(DatabaseParameters, {}).profile == "quick"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"profil": "quick"}, "unknown parameter 'profil'"),
        ({"seed": "abc"}, "seed='abc'"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**32}, "seed=4294967296"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"seed": True}, "seed=True"),
        ({"profile": 5}, "profile=5"),
        ({"profile": "huge"}, "profile='huge'"),
        ({"services": "cloud"}, "services='cloud'"),
        ({"claims": "no/such/file.toml"}, "claims='no/such/file.toml'"),
        ({"without_indexes": "idx"}, "without_indexes='idx'"),
        ({"without_indexes": ["idx_nothing"]}, "'idx_nothing'"),
        ({"plan_cache_mode": "fast"}, "plan_cache_mode='fast'"),
    ],
)
def test_a_wrong_value_is_refused_by_name_in_one_line(
    values: dict[str, object], named: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        check(DatabaseParameters, values)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ParameterError, match="profile, services, seed, claims, run"):
        check(ScorecardParameters, {"x": 1})


def test_assignments_are_typed_and_go_to_the_notebooks_that_know_them() -> None:
    given = parse_assignments(
        ["seed=7", "without_indexes=a, b", "run=20250101T000000Z-quick"],
        ["01_database", "09_scorecard"],
    )
    assert given["01_database"] == {"seed": 7, "without_indexes": ["a", "b"]}
    assert given["09_scorecard"] == {"seed": 7, "run": "20250101T000000Z-quick"}


def test_a_text_parameter_that_looks_like_a_number_stays_text() -> None:
    assert parse_assignments(["run=123"], ["09_scorecard"])["09_scorecard"] == {"run": "123"}


@pytest.mark.parametrize("bad", ["seed", "=1", "a b=1", ""])
def test_an_assignment_without_name_and_value_is_refused(bad: str) -> None:
    with pytest.raises(ParameterError, match="name=value"):
        parse_assignments([bad], ["01_database"])


def test_an_assignment_that_no_notebook_knows_is_refused() -> None:
    with pytest.raises(ParameterError, match="unknown parameter 'rounds'"):
        parse_assignments(["rounds=3"], ["01_database"])


def test_a_notebook_may_be_named_by_path() -> None:
    assert notebook_name("notebooks/01_database.ipynb") == "01_database"
    with pytest.raises(ParameterError, match=r"01_database, .*09_scorecard"):
        notebook_name("02_nothing")


def test_what_papermill_injected_is_read_from_the_history() -> None:
    history = ["", 'profile = "quick"\nseed = 42', '# Parameters\nseed = 7\nfoo = ["a"]\n']
    assert injected(history) == {"seed": 7, "foo": ["a"]}


def test_every_notebook_on_disk_has_checked_parameters() -> None:
    from perflab.paths import notebooks_dir

    assert {p.stem for p in notebooks_dir().glob("*.ipynb")} == set(NOTEBOOKS)


def test_a_file_that_is_no_trace_is_refused_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(TraceError, match="which column holds the key"):
        check(CacheParameters, {"trace": str(path)})
