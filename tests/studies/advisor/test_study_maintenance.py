"""Statistics and maintenance on the data set made for it: found, mended on a copy, measured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from perflab.advisor.maintenance.findings import Finding, Limits
from perflab.advisor.maintenance.mending import Mended, mend
from perflab.advisor.workload import Statement
from perflab.cli.upkeep_printed import print_findings, print_upkeep
from perflab.datasets import Datasets
from perflab.measure.statistics import Interval
from perflab.profiles import load_profiles
from perflab.report.not_run import NotRun
from perflab.services import Postgres
from perflab.studies import advisor as study
from perflab.studies.advisor.maintenance import Upkeep, copier, look_after
from perflab.studies.advisor.parcels import STATEMENTS

SMOKE = load_profiles(Path(__file__).parents[2] / "fixtures" / "profiles.toml")["smoke"]
PICKUPS, COMPLAINTS, JOBS = (statement.name for statement in STATEMENTS)


@pytest.fixture(scope="module")
def datasets(postgres: Postgres) -> Iterator[Datasets]:
    opened = Datasets(postgres, SMOKE, 11)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def upkeep(datasets: Datasets) -> Upkeep:
    return study.look_after_parcels(datasets, SMOKE.advisor, 1)


def of(upkeep: Upkeep, kind: str, table: str) -> Mended:
    (found,) = (m for m in upkeep.mended if (m.finding.kind, m.finding.table) == (kind, table))
    return found


def test_what_was_made_wrong_is_found_and_nothing_else(upkeep: Upkeep) -> None:
    assert [(f.kind, f.table) for f in upkeep.findings] == [
        ("correlated", "parcels"),
        ("correlated", "pickups"),
        ("stale", "complaints"),
        ("stale", "scans"),
        ("dead", "jobs"),
        ("off", "complaints"),
        ("off", "jobs"),
        ("off", "scans"),
    ]


@pytest.mark.parametrize(
    ("kind", "table", "statement"),
    [
        ("correlated", "parcels", PICKUPS),
        ("correlated", "pickups", PICKUPS),
        ("stale", "scans", COMPLAINTS),
        ("stale", "complaints", COMPLAINTS),
    ],
)
def test_correlated_columns_and_stale_statistics_are_mended_and_the_plan_changes(
    upkeep: Upkeep, kind: str, table: str, statement: str
) -> None:
    found = of(upkeep, kind, table)

    assert found.finding.serves == (statement,)
    change = found.plans[statement]
    assert change.flipped
    assert "Nested Loop" in change.before
    assert "Hash Join" in change.after
    ratio = found.timed[statement].median
    assert isinstance(ratio, Interval)
    assert ratio.hi < 1
    assert re.fullmatch(
        rf"{statement} is faster: median [\d.]+ to [\d.]+ ms, after/before [\d.]+ to [\d.]+",
        found.outcome,
    )


def test_stale_statistics_are_seen_in_the_plan_and_in_the_counters(upkeep: Upkeep) -> None:
    figure = of(upkeep, "stale", "scans").finding.figure

    assert figure.startswith("expected rows 1, met 120 (day); 1,200 rows changed since the last")


def test_the_rows_expected_are_those_met_once_it_is_mended(upkeep: Upkeep) -> None:
    assert {d.seen.expected for d in upkeep.diagnoses} == {1.0}
    assert {d.seen.met for d in upkeep.diagnoses} == {120.0}
    for diagnosis in upkeep.diagnoses:
        assert diagnosis.cured == pytest.approx(120, rel=0.2)


def test_only_the_copy_was_mended(upkeep: Upkeep) -> None:
    with psycopg.connect(upkeep.before, autocommit=True) as conn:
        assert conn.execute("SELECT stxname FROM pg_statistic_ext").fetchall() == []
        switched_off = conn.execute(
            "SELECT relname FROM pg_class WHERE reloptions = '{autovacuum_enabled=off}' ORDER BY 1"
        ).fetchall()
        assert switched_off == [("complaints",), ("jobs",), ("scans",)]


def test_tables_and_plot_show_it(upkeep: Upkeep) -> None:
    for table, rows in (
        (study.misestimates_table(upkeep), 4),
        (study.findings_table(upkeep), 8),
        (study.mended_table(upkeep), 3),
    ):
        assert not isinstance(table, NotRun)
        assert len(table.shown) == rows
        assert "post-" not in str(table.shown)
    figure = study.mended_plot(upkeep)
    assert not isinstance(figure, NotRun)
    assert "of 3 statements are faster" in figure.axes[0].get_title(loc="left")


def test_the_command_line_says_what_to_run_and_what_came_of_it(
    upkeep: Upkeep, capsys: pytest.CaptureFixture[str]
) -> None:
    print_upkeep(upkeep, "5 of 9 rows")
    print_findings(upkeep.findings[-1:])

    said = capsys.readouterr().out.splitlines()
    assert len(said) == 9
    assert said[0].startswith("correlated: parcels: expected rows 1, met 120")
    assert "CREATE STATISTICS stat_parcels_postcode_region_town_dependencies" in said[0]
    assert f"[measured at 5 of 9 rows: {PICKUPS} is faster: median " in said[0]
    assert said[-1].endswith("ALTER TABLE scans RESET (autovacuum_enabled); [unmeasured]")


def test_a_database_in_order_gives_an_empty_list(datasets: Datasets) -> None:
    calm = datasets.empty("advisor_calm")
    with psycopg.connect(calm, autocommit=True) as conn:
        conn.execute("CREATE TABLE t AS SELECT n AS id, n % 9 AS k FROM generate_series(1, 4000) n")
        conn.execute("ANALYZE t")

    found = look_after(calm, copier(datasets), (), SMOKE.advisor, 1)

    assert (found.findings, found.diagnoses, found.mended) == ((), (), ())
    for view in (study.misestimates_table, study.findings_table, study.mended_table):
        assert isinstance(view(found), NotRun)
    assert isinstance(study.mended_plot(found), NotRun)


def test_what_cannot_be_run_on_a_copy_is_said_and_the_rest_goes_on(datasets: Datasets) -> None:
    before, after = datasets.empty("advisor_one"), datasets.empty("advisor_two")
    for conninfo in (before, after):
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute("CREATE TABLE t AS SELECT 1 AS id")
    findings = (
        Finding("off", "(server)", "autovacuum is off", ("ALTER SYSTEM SET autovacuum = on",), 1.0),
        Finding("stale", "t", "broken", ("ANALYZE t", "ANALYZE nowhere"), 1.0),
        Finding("stale", "t", "fine", ("ANALYZE t",), 1.0),
    )

    outcomes = [m.outcome for m in mend(before, after, findings, (), (), SMOKE.advisor, 1)]

    assert outcomes == [
        "not run: it is set for the whole server, not for a copy",
        'not run: relation "nowhere" does not exist',
        "no statement of the workload reads this table",
    ]
    with psycopg.connect(before, autocommit=True) as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'"
        ).fetchone()
    assert row == (0,)


def test_a_bloated_index_is_made_anew_on_a_copy_and_what_uses_it_is_timed(
    datasets: Datasets,
) -> None:
    before = make_bloated(datasets)
    reading = Statement("reading", "SELECT count(*) FROM kept WHERE id < 9000")
    limits = Limits(wasted_bytes=2**20, wasted_share=1.0)  # of the two, the table's own would do

    upkeep = look_after(
        before, copier(datasets), [reading], SMOKE.advisor, 1, limits=limits, guest_s=0
    )

    (mended,) = (m for m in upkeep.mended if m.finding.kind == "index bloat")
    assert mended.finding.statements == ("REINDEX INDEX CONCURRENTLY kept_pkey",)
    assert "counted" in mended.finding.figure
    assert mended.failed == ""
    assert mended.pages[1] < mended.pages[0] / 5
    assert mended.timed.keys() == {"reading"}


def make_bloated(datasets: Datasets) -> str:
    """A table of which most was deleted, and its index as large as before."""
    conninfo = datasets.empty("bloated")
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("CREATE TABLE kept (id int PRIMARY KEY)")
        conn.execute("INSERT INTO kept SELECT generate_series(1, 200000)")
        conn.execute("DELETE FROM kept WHERE id % 10 > 0")
        conn.execute("SELECT pg_stat_force_next_flush()")
        conn.execute("VACUUM (ANALYZE) kept")
    return conninfo
