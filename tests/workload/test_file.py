"""A workload file is read as it is meant, and checked before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.testing

from perflab import cli
from perflab.errors import ConfigError, ParameterError
from perflab.parameters import DatabaseParameters, check, parse_assignments
from perflab.workload import load_workload
from perflab.workload.placeholders import PlaceholderError, placeholders


def test_the_example_is_read(example: Path) -> None:
    workload = load_workload(example / "workload.toml")
    assert workload.categories == ("tracking", "customers", "depots", "reports")
    assert len(workload.after) == 5
    assert workload.claims["parcels.by_code.latency"] == "query:parcel_by_code"
    assert workload.claims["parcels.tracking.improvement"] == "category:tracking"
    assert workload.claims["parcels.everything.improvement"] == "all"
    history = next(q for q in workload.queries if q.name == "parcel_history")
    assert history.placeholders == ("parcel",)
    assert history.parameters["parcel"].integer == (60_000, 1)


def test_placeholders_are_named_once_and_a_doubled_percent_is_none() -> None:
    sql = "SELECT %(a)s, '10 %%', x %% 2 WHERE %(b)s < %(a)s"
    assert placeholders(sql) == ("a", "b")


@pytest.mark.parametrize("sql", ["LIKE 'a%'", "%s", "%(a)d", "x % 2", "100%", "%(a b)s"])
def test_any_other_percent_sign_is_refused(sql: str) -> None:
    with pytest.raises(PlaceholderError, match="%%"):
        placeholders(sql)


def test_a_query_may_stand_in_a_file_and_end_in_a_semicolon(tmp_path: Path) -> None:
    (tmp_path / "one.sql").write_text("-- the only one;\nSELECT 1;\n")
    (tmp_path / "w.toml").write_text(
        'title = "T"\n[schema]\nsql = "SELECT 1"\n[after]\nsql = "SELECT 2"\n'
        '[[query]]\nname = "one"\nfile = "one.sql"\n'
    )
    assert load_workload(tmp_path / "w.toml").queries[0].sql == "-- the only one;\nSELECT 1"


def test_a_workload_is_checked_with_the_other_parameters(example: Path, tmp_path: Path) -> None:
    workload, claims = str(example / "workload.toml"), str(example / "claims.toml")
    parameters = check(DatabaseParameters, {"workload": workload, "claims": claims})
    assert not parameters.lab_data
    with pytest.raises(ConfigError, match="--claims FILE"):
        check(DatabaseParameters, {"workload": workload})
    with pytest.raises(ConfigError, match="no such file"):
        check(DatabaseParameters, {"workload": str(tmp_path / "none.toml")})
    with pytest.raises(ParameterError, match="without_indexes"):
        check(
            DatabaseParameters,
            {"workload": workload, "claims": claims, "without_indexes": ["idx_tasks_user_status"]},
        )


def test_a_claim_that_the_claims_file_lacks_is_named_with_both_files(
    example: Path, tmp_path: Path
) -> None:
    claims = tmp_path / "claims.toml"
    claims.write_text((example / "claims.toml").read_text().replace("by_code", "by_number"))
    with pytest.raises(ConfigError, match=r"parcels\.by_code\.latency.*claims\.toml") as caught:
        check(
            DatabaseParameters,
            {"workload": str(example / "workload.toml"), "claims": str(claims)},
        )
    assert "workload.toml, line" in str(caught.value)


def test_a_path_is_relative_to_where_the_command_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = parse_assignments(["workload=my.toml"], ["01_database"])
    assert given["01_database"] == {"workload": str(tmp_path / "my.toml")}
    assert parse_assignments(["workload="], ["01_database"])["01_database"] == {"workload": ""}


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "01_database", "-p", "seed", "7", "-p", "workload", "w.toml"],
        ["run", "-p", "seed=7", "01_database", "-p", "workload=w.toml"],
        ["run", "-p", "seed", "7", "01_database", "-p", "workload=w.toml"],
    ],
)
def test_parameters_may_be_written_as_papermill_does(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("perflab.cli.checks.check_batch", lambda *_: None)  # there is no w.toml
    seen: list[object] = []

    def remember(chosen: object, common: object, given: object, out: object) -> bool:
        seen.extend([chosen, given, common])
        return True

    monkeypatch.setattr("perflab.cli.session.run_batch", remember)
    outcome = typer.testing.CliRunner().invoke(cli.app, arguments)
    assert outcome.exit_code == 0, outcome.output
    workload = str(tmp_path / "w.toml")
    common = {"profile": "quick", "services": "auto", "seed": 7, "claims": ""}
    assert seen == [["01_database"], {"01_database": {"workload": workload}}, common]


def test_a_parameter_without_a_value_is_refused() -> None:
    outcome = typer.testing.CliRunner().invoke(cli.app, ["run", "01_database", "-p", "seed"])
    assert isinstance(outcome.exception, ParameterError)
    assert "name=value" in str(outcome.exception)
