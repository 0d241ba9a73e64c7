"""The door for notebooks."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflab.errors import ParameterError
from perflab.lab import _open, open_lab
from perflab.measure.speed import read_speed
from perflab.runs import SERVICES_VARIABLE
from perflab.services import Services, open_services


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFLAB_RUNS_DIR", str(tmp_path))


def test_a_wrong_parameter_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="seed='x'"):
        open_lab("01_database", seed="x")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_notebook_is_named() -> None:
    with pytest.raises(ParameterError, match="'10_tea'"):
        open_lab("10_tea")


def test_opening_again_closes_the_lab_before() -> None:
    first = open_lab("09_scorecard")
    second = open_lab("09_scorecard")
    assert _open == [second]
    assert first.run.path != second.run.path
    second.close()
    second.close()
    assert _open == []


def test_what_takes_time_is_when_the_machine_is_looked_at(tmp_path: Path) -> None:
    lab = open_lab("09_scorecard")
    assert not lab.run.speed.exists()
    for title in ("one", "two"):
        with lab.progress(title):
            pass
    assert len(read_speed(lab.run.speed).looks["09_scorecard"]) == 2
    lab.close()


def test_buffers_are_never_emptied_on_a_server_of_the_users_own(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = services.postgres.address
    url = f"postgresql://perflab:{address.password}@{address.host}:{address.port}/postgres"
    monkeypatch.setenv("PERFLAB_POSTGRES_URL", url)
    with open_services("url", only=["postgres"]) as theirs:
        monkeypatch.setenv(SERVICES_VARIABLE, str(theirs.share()))
        lab = open_lab("01_database", cold_buffers=True)
        for _ in range(2):
            with pytest.raises(ParameterError, match=r"cold_buffers=True .* not the lab's; leave"):
                _ = lab.services
        lab.close()
        assert open_lab("01_database").services.postgres.rung == "url"
        _open[0].close()


def test_a_user_error_is_one_line_in_a_notebook() -> None:
    assert ParameterError("seed is odd")._render_traceback_() == ["ParameterError: seed is odd"]
