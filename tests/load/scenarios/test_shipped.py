"""The scenarios that come with the project, and the one that its documentation shows."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from perflab.config import read_toml
from perflab.load.scenarios import load_scenario, schedule_of
from perflab.paths import checkout_dir, data_dir

PLANNED = {
    "authentication.toml": (100, 20),
    "task_management.toml": (200, 50),
    "analytics_dashboard.toml": (50, 10),
}


def test_the_plans_scenarios_are_all_there() -> None:
    there = {path.name for path in (data_dir() / "scenarios").glob("*.toml")}
    assert there == {*PLANNED, "websocket_connections.toml"}


@pytest.mark.parametrize("name", PLANNED)
def test_scenario_asks_for_what_the_plan_says(name: str, tmp_path: Path) -> None:
    users, rate = PLANNED[name]
    path = data_dir() / "scenarios" / name
    columns = read_toml(path)["feeder"]["account"]["columns"]
    data = tmp_path / "accounts.csv"
    with data.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows([[f"{column}{user}" for column in columns] for user in range(users)])
    scenario = load_scenario(path, target="http://127.0.0.1:1", data={"account": data})
    assert scenario.users == users
    assert scenario.thresholds
    flows = schedule_of(scenario).flow
    requests = sum(len(scenario.flows[flow].steps) for flow in flows)
    assert requests == pytest.approx(rate * scenario.duration_s, rel=0.12)


def test_the_documented_file_is_a_good_one(tmp_path: Path) -> None:
    root = checkout_dir()
    assert root is not None
    text = (root / "docs" / "load.md").read_text()
    found = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert found
    path = tmp_path / "shop.toml"
    path.write_text(found[1])
    rows = "".join(f"u{n},p\n" for n in range(100))
    (tmp_path / "accounts.csv").write_text("email,password\n" + rows)
    scenario = load_scenario(path)
    assert [step.name for step in scenario.steps] == ["browse", "buy"]
    assert len(scenario.thresholds) == 3
