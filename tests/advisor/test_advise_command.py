"""``perflab advise`` on the lab's own schema, and a user's mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from perflab.cli import app
from perflab.errors import PerflabError

from .test_workload import CONTAINED

PROFILES = Path(__file__).parents[1] / "fixtures" / "profiles.toml"


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest profile with one size of the database only."""
    text = PROFILES.read_text().replace("scaling_users = [50, 150]", "scaling_users = []")
    text = re.sub(r"(\[smoke\.database\]\nusers = )\d+", r"\g<1>150", text)
    (tmp_path / "profiles.toml").write_text(text)
    monkeypatch.setenv("PERFLAB_PROFILES", str(tmp_path / "profiles.toml"))
    monkeypatch.delenv("PERFLAB_TARGET_URL", raising=False)


def test_a_file_is_advised_on_and_the_advice_measured(profiles: None, tmp_path: Path) -> None:
    workload, out = tmp_path / "w.sql", tmp_path / "indexes.sql"
    workload.write_text(
        "-- calls: 90\n-- name: open_ones\n"
        "SELECT id, title FROM tasks WHERE project_id = 4711 AND status = 'todo';\n"
        "DROP TABLE tasks;\n-- name: later\nSELECT * FROM notes WHERE user_id = $1;\n"
        + "".join(f"{text};\n" for text in CONTAINED)
    )

    said = CliRunner().invoke(
        app,
        ["advise", "--workload", str(workload), "--services", "embedded", "--profile", "smoke",
         "--out", str(out), "--max-mib", "64"],
    )  # fmt: skip

    assert said.exit_code == 0, said.output
    assert "left out: line 4: the statement is no SELECT" in said.output
    refused = re.findall("^left out: line .*", said.output, re.M)
    assert len(refused) == 1 + len(CONTAINED) > 50
    assert "not measured, estimated only: later: it has no values ($n)" in said.output
    assert "measured on a copy" in said.output
    assert re.search(r"open_ones *│ *90 *│ *[\d.]+ *│ *[\d.]+ *│ *[\d.]+ \[", said.output)
    proved = re.findall(r"^proved: (CREATE INDEX CONCURRENTLY .*);$", said.output, re.M)
    assert [f"{line};" for line in proved] == out.read_text().splitlines()
    assert "statistics and maintenance: nothing needs to be done on the copy" in said.output
    assert "4711" not in said.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workload", "nowhere.sql"), "nowhere.sql: cannot be read"),
        (("--services", "cloud"), "services='cloud' is unknown"),
        (("--profile", "huge"), "profile='huge' is unknown"),
        (("--out", "nowhere/a.sql"), "there is no folder nowhere"),
        (("--copy-data",), "--copy-data copies from the database of PERFLAB_TARGET_URL; set it"),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(
    profiles: None, arguments: tuple[str, str], message: str
) -> None:
    said = CliRunner().invoke(app, ["advise", *arguments])

    assert isinstance(said.exception, PerflabError)
    assert message in str(said.exception)
    assert "\n" not in str(said.exception)
