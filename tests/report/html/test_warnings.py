"""What the report warns of."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from perflab.files import write_document
from perflab.measure.environment import ServerFacts
from perflab.measure.speed import SpeedRecord
from perflab.measure.statistics import Interval
from perflab.report.html import write_report
from perflab.report.html.contents import read_contents
from perflab.report.html.warnings import warnings_of
from perflab.runs import Journal, RunFolder

from .folders import ENVIRONMENT, EVERY_WORD, ORIGIN, make_result, make_run
from .test_page import report

MET = make_result("database.tasks", "met")
COMMON = {"profile": "quick", "services": "auto", "seed": 42, "claims": ""}


def journal(run: RunFolder, *notebooks: str) -> Journal:
    return Journal(
        run,
        COMMON,
        {name: {} for name in notebooks},
        clock=lambda: datetime(2026, 11, 24, 2, 47, tzinfo=UTC),
    )


def told(run: RunFolder) -> list[tuple[str, str]]:
    contents = read_contents(run)
    return [(w.about, w.sentence) for w in warnings_of(contents, contents.problems)]


def test_a_run_without_trouble_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, MET)
    assert told(run) == []
    assert "None: no notebook failed" in report(run).text


def test_a_failed_notebook_is_named_with_its_reason(tmp_path: Path) -> None:
    run = make_run(tmp_path, MET)
    with journal(run, "01_database", "09_scorecard") as record:
        record.ends("01_database", 61.4, "code cell 3 of 9 (Result): ServiceError: gone")
        record.ends("09_scorecard", 2.0)
    assert told(run) == [("failed", "01_database: code cell 3 of 9 (Result): ServiceError: gone")]
    page = report(run)
    assert "01_database: failed in 1 min 1 s" in page.text
    assert "Failed: code cell 3 of 9 (Result): ServiceError: gone" in page.text


def test_a_killed_run_is_unfinished(tmp_path: Path) -> None:
    run = make_run(tmp_path, MET)
    record = journal(run, "01_database", "09_scorecard")
    record.starts("01_database")
    assert told(run) == [
        (
            "unfinished",
            "The run's record has no end: it was killed, or was still going when this was written.",
        ),
        ("unfinished", "01_database did not come to its end."),
        ("unfinished", "09_scorecard was not started."),
    ]
    assert "Ended not recorded" in report(run).text


def test_a_stopped_run_says_that_it_was_stopped(tmp_path: Path) -> None:
    run = make_run(tmp_path, MET)
    record = journal(run, "01_database")
    record.ends("01_database", 1.0)
    record.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert told(run) == [("unfinished", "The run was stopped before its end.")]


def test_a_slow_machine_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path, MET)
    record = SpeedRecord(best=60.0, looks={"01_database": (30.0, 45.0)})
    write_document(run.speed, record)
    assert told(run) == [("noise", record.warnings[0])]
    assert "ran at 50% to 75% of the best speed" in report(run).text


def test_an_unsteady_machine_is_told_once(tmp_path: Path) -> None:
    unsteady = "unsteady machine: a busy loop got 61% of a core"
    noisy = [make_result(c, "met", warnings=(unsteady,)) for c in ("database.tasks", "load.rps")]
    run = make_run(tmp_path, *noisy, make_result("database.pool", "met"))
    assert told(run) == [("noise", f"{unsteady} (2 figures of 01_database).")]


def test_saturation_and_a_control_that_differs_name_their_claims(tmp_path: Path) -> None:
    run = make_run(
        tmp_path,
        make_result("load.rps", "void"),
        make_result("database.tasks", "cannot tell", aa=Interval(0.5, 0.4, 0.6)),
        make_result("database.habits", "met", aa=Interval(1.0, 0.9, 1.1)),
    )
    about = dict(told(run))
    assert set(about) == {"saturation", "noise"}
    assert about["saturation"].endswith("say nothing about the system: load.rps.")
    assert about["noise"].endswith("so the lab cannot tell: database.tasks.")


def test_a_server_that_the_lab_did_not_start_is_named(tmp_path: Path) -> None:
    servers = {"postgres": ServerFacts("url", "16.2"), "redis": ServerFacts("embedded", "9.1")}
    environment = msgspec.structs.replace(ENVIRONMENT, servers=servers)
    (warning,) = told(make_run(tmp_path, MET, environment=environment))
    assert warning[0] == "not ours"
    assert "did not start PostgreSQL:" in warning[1]


def test_what_a_server_lacks_is_told(tmp_path: Path) -> None:
    environment = msgspec.structs.replace(ENVIRONMENT, lacks=("PostgreSQL 15 has no skip scan",))
    run = make_run(tmp_path, MET, environment=environment)
    assert told(run) == [("lacks", "PostgreSQL 15 has no skip scan")]


@pytest.mark.parametrize(
    ("attribute", "other", "what"),
    [
        ("environment_id", "ffff", "different machines (0123456789ab, ffff)"),
        ("profile", "full", "different profiles (full, quick)"),
        ("seed", 7, "different seeds (42, 7)"),
        ("rung", "docker", "different kinds of servers (docker, embedded)"),
        ("server_version", "PostgreSQL 15", "different server versions (PostgreSQL 15, "),
    ],
)
def test_figures_that_do_not_belong_together_are_told(
    attribute: str, other: object, what: str, tmp_path: Path
) -> None:
    origin = msgspec.structs.replace(ORIGIN, **{attribute: other})
    run = make_run(tmp_path, MET, make_result("load.rps", "met", origin=origin))
    assert [about for about, _ in told(run)] == ["mixed"]
    assert what in told(run)[0][1]


@pytest.mark.parametrize(
    "broken",
    [
        "results/02_broken.json",
        "exhibits/02_broken.json",
        "notebooks/02_broken.ipynb",
        "environment.json",
        "run.json",
        "claims.toml",
        "plots/middle.png",
        "tables/zebra.md",
    ],
)
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"null", b"[]", b'{"a": 1}'])
def test_a_broken_file_is_named_and_the_rest_is_shown(
    broken: str, content: bytes, tmp_path: Path
) -> None:
    run = make_run(tmp_path, *EVERY_WORD)
    (run.path / broken).write_bytes(content)
    written = write_report(run)
    text = written.path.read_text()
    assert [problem.startswith(broken) for problem in written.problems] == [True]
    assert "\n" not in written.problems[0]
    assert f"<b>Left out:</b> {broken}" in text
    assert "4 of " in text
    assert "1 met, 1 missed, 1 cannot tell, 1 void" in text
