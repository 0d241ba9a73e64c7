"""The advisor study at the smallest sizes, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import psycopg
import pytest

from perflab.advisor import auto_explain
from perflab.advisor.selection import Limits
from perflab.advisor.slow_queries import Thresholds
from perflab.advisor.workload import parse_workload
from perflab.datasets import Datasets
from perflab.measure.samples import Samples
from perflab.measure.statistics import Interval, NotEstimable
from perflab.profiles import load_profiles
from perflab.report.not_run import NotRun
from perflab.services import Postgres
from perflab.studies import advisor as study
from perflab.studies.advisor.case import Case
from perflab.studies.advisor.files import advise_and_prove
from perflab.studies.advisor.proving import geometric_ratio, share_of_reduction

SMOKE = load_profiles(Path(__file__).parents[2] / "fixtures" / "profiles.toml")["smoke"]
SIZES = SMOKE.advisor
PROFILE = msgspec.structs.replace(
    SMOKE,
    database=msgspec.structs.replace(SMOKE.database, users=SIZES.users, scaling_users=[]),
)
EVERYTHING = Thresholds(mean_ms=0)


def quiet(_what: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture(scope="module")
def datasets(postgres: Postgres) -> Iterator[Datasets]:
    opened = Datasets(postgres, PROFILE, 11)
    opened.load(quiet)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def case(datasets: Datasets) -> Case:
    """Every fourth statement of the application: the study does the same with all of them."""
    whole = study.make_case(datasets, SIZES, 1)
    return replace(whole, statements=whole.statements[::4], timed=whole.timed[::4])


def test_from_slow_statements_to_measured_advice(case: Case) -> None:
    slow = study.find_slow(case, 1, EVERYTHING)
    assert slow.source == "pg_stat_statements; p95 and plans by auto_explain"
    asked = tuple(one for one in slow.statements if " FROM " in one.text)  # no session's settings
    assert len(asked) == len(case.statements)
    assert {(one.calls, one.sampled) for one in asked} == {(20, 20)}
    assert sum(one.share_percent for one in asked) == pytest.approx(100, abs=5)
    assert all(one.p95_ms is not None and one.plans == 1 for one in asked)

    advice = study.advise_case(case)
    assert advice.selection.cost_after < advice.selection.cost_before / 2
    report, flipped = study.build_and_watch(case, advice, 1)
    assert not report.failed
    assert not isinstance(flipped, NotRun)
    assert all(one.flipped for one in flipped)
    used = " ".join(one.plan_summary for one in flipped)
    assert "idx_tasks_user_id" in used

    proof = study.prove_case(case, advice, report, SIZES, 1)
    assert set(proof.by_statement) == {one.name for one in case.statements}
    assert len(proof.kept) + len(proof.dropped) == len(advice.selection.chosen)
    rivalry = study.against_catalogue(case, proof, SIZES, 1)
    assert rivalry.catalogued == 27
    assert rivalry.advised == len(proof.kept)
    for table in (
        study.slow_table(slow),
        study.estimate_table(advice),
        study.rejected_table(advice),
        study.flips_table(flipped),
        study.proof_table(proof),
        study.writes_table(proof),
        study.rivalry_table(rivalry),
    ):
        assert not isinstance(table, NotRun)
        assert len(table.shown) > 0
    for figure in (
        study.slow_plot(slow),
        study.statements_plot(proof),
        study.rivals_plot(rivalry),
    ):
        assert not isinstance(figure, NotRun)
        assert figure.axes[0].get_title(loc="left")


def test_no_password_is_in_what_a_notebook_could_print(case: Case, postgres: Postgres) -> None:
    assert postgres.address.password
    assert postgres.address.password not in repr(case)


def test_where_the_server_counts_nothing_the_client_does(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perflab.studies.advisor.slow.EXTENSION", "no_such_extension")
    monkeypatch.setitem(auto_explain._SETTINGS, "log_format", "no such format")

    slow = study.find_slow(case, 1, EVERYTHING)

    assert slow.source.startswith("the client's clock, since auto_explain cannot be used here")
    assert "no_such_extension" in slow.source
    assert len(slow.statements) == len(case.statements)
    assert {(one.calls, one.buffers_per_call, one.plans) for one in slow.statements} == {
        (20, None, 0)
    }
    assert len(study.slow_table(slow).shown) == len(case.statements)
    assert isinstance(study.slow_plot(replace(slow, statements=())), NotRun)


def test_statements_of_others_run_as_a_guest_and_change_nothing(datasets: Datasets) -> None:
    statements = parse_workload(
        "-- name: feed\nSELECT id FROM tasks WHERE user_id = 7 ORDER BY created_at DESC LIMIT 5;\n"
        "-- name: write\nUPDATE tasks SET title = 'x' WHERE project_id = 3;\n"
        "-- name: secret\nSELECT rolpassword FROM pg_authid;\n"
        "-- name: late\nSELECT * FROM tasks WHERE due_date = $1;\n"
        "-- name: broken\nSELECT 1 / (id - id) FROM tasks WHERE user_id = 7;\n"
    ).statements

    found = advise_and_prove(datasets, SIZES, 1, statements, Limits(), quiet)

    assert [str(one) for one in found.unplanned] == [
        "secret: permission denied for table pg_authid"
    ]
    assert [str(one) for one in found.untimed] == [
        "late: it has no values ($n)",
        "broken: a value does not fit its type",
    ]
    assert found.proof is not None
    assert set(found.proof.by_statement) == {"feed", "write"}
    # what the last case left: its copies hold the rows of a fresh one
    fresh = rows_of(datasets.clone("advisor_check", SIZES.users))
    assert rows_of(found.before) == fresh
    assert rows_of(found.advised) == fresh


def rows_of(conninfo: str) -> object:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        rows = conn.execute("SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM tasks t")
        return rows.fetchone()


# --- the two figures of the comparison with the catalogue ------------------------------------


def samples(ratios: list[float], rounds: int = 20) -> Samples:
    """Operations whose after takes ``ratio`` times their before, in every round."""
    rows = [
        (number, arm, operation, 0.001 * (1 + number % 3) * (ratio if arm else 1.0))
        for number in range(rounds)
        for arm in range(3)
        for operation, ratio in enumerate(ratios)
    ]
    columns = list(zip(*rows, strict=True))
    names = tuple(f"q{number}" for number in range(len(ratios)))
    return Samples(
        round=np.array(columns[0], np.int32),
        arm=np.array(columns[1], np.int8),
        operation=np.array(columns[2], np.int16),
        selectivity=np.zeros(len(rows), np.int8),
        call=np.zeros(len(rows), np.int16),
        latency_s=np.array(columns[3]),
        rows=np.ones(len(rows), np.int64),
        operations=names,
        groups=names,
        selectivities=("typical",),
        arms=("before", "after", "control"),
        seed=1,
    )


def test_the_typical_statement_is_the_geometric_mean() -> None:
    found = geometric_ratio(samples([0.5, 2.0, 8.0]))

    assert isinstance(found, Interval)
    assert found.estimate == pytest.approx(2.0)
    assert found.lo == pytest.approx(found.hi)


@pytest.mark.parametrize(
    ("advised", "against", "share"),
    [(0.10, 1.0, 100.0), (0.10, 2.0, 90 / 95 * 100), (0.10, 0.5, 90 / 80 * 100)],
)
def test_the_share_of_the_catalogues_reduction(
    advised: float, against: float, share: float
) -> None:
    found = share_of_reduction(
        Interval(advised, advised * 0.9, advised * 1.1), Interval(against, against, against)
    )

    assert isinstance(found, Interval)
    assert found.estimate == pytest.approx(share)
    assert found.lo - 1e-9 <= share <= found.hi + 1e-9


def test_no_share_of_a_catalogue_that_may_not_help() -> None:
    found = share_of_reduction(Interval(0.9, 0.8, 1.0), Interval(0.9, 0.85, 0.95))

    assert isinstance(found, NotEstimable)
    refused = NotEstimable("too few")
    assert share_of_reduction(refused, Interval(1, 1, 1)) is refused
