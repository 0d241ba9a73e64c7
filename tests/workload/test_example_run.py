"""The worked example from end to end, as the tutorial says."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perflab.measure.results import read_results

PROFILES = Path(__file__).parents[1] / "fixtures" / "profiles.toml"


@pytest.fixture(scope="module")
def run(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "parcels"
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("perflab")),
            *("run", "01_database", "--profile", "smoke", "--services", "embedded"),
            *("-p", "workload", "workload.toml", "--claims", "claims.toml", "--out", str(folder)),
        ],
        cwd=example,
        env={**os.environ, "PERFLAB_PROFILES": str(PROFILES)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "loading data" not in done.stdout
    return folder


@pytest.mark.slow
def test_the_example_is_judged_by_its_own_claims(run: Path) -> None:
    results = read_results(run / "results" / "01_database.json")
    words = {r.claim: r.verdict.word for r in results if r.claim and r.verdict}
    assert set(words) == {
        "parcels.tracking.improvement",
        "parcels.by_code.latency",
        "parcels.reports.improvement",
        "parcels.everything.improvement",
    }
    assert words["parcels.reports.improvement"] != "met", "no index serves the report"


@pytest.mark.slow
def test_the_same_tables_and_plots_are_left(run: Path) -> None:
    tables = {p.stem for p in (run / "tables").glob("*.csv")}
    assert {
        *("plan", "plans", "queries", "verdicts", "selectivity_of_users", "throughput"),
        *("indexes", "planning", "connections", "sharing", "restart"),
    } == tables
    assert {"verdicts", "queries", "throughput", "restart"} == {
        p.stem for p in (run / "plots").glob("*.png")
    }
    with (run / "tables" / "indexes.csv").open() as file:
        serves = {row["index"]: row["serves"] for row in csv.DictReader(file)}
    assert serves["parcels_code"] == "parcel_by_code, parcels_by_codes"
    assert all(serves.values()), serves


@pytest.mark.slow
def test_sections_about_the_labs_own_schema_say_that_they_were_not_run(run: Path) -> None:
    book = json.loads((run / "notebooks" / "01_database.ipynb").read_text())
    shown = ["".join(o["data"]["text/plain"]) for o in _outputs(book) if "data" in o]
    assert sum(text.startswith("not run: ") for text in shown) == 8
    assert not [o for o in _outputs(book) if o["output_type"] == "error"]


@pytest.mark.slow
def test_no_write_is_lost_in_the_restart(run: Path) -> None:
    with (run / "tables" / "restart.csv").open() as file:
        figures = {row["what"]: float(row["count"] or 0) for row in csv.DictReader(file)}
    assert figures["writes acknowledged"] > 0
    assert figures["acknowledged writes that are lost"] == 0
    assert figures["writes applied twice"] == 0


def _outputs(book: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in book["cells"] for output in cell.get("outputs", [])]
