"""The lab's application and a user's workload go through the same study."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.index_builder import BuildReport
from perflab.errors import ConfigError
from perflab.measure.claims import load_claims
from perflab.measure.comparison import compare
from perflab.measure.experiment import Arm, Draw, Experiment, Operation
from perflab.parameters import DatabaseParameters, check
from perflab.profiles import load_profile
from perflab.report.not_run import NotRun
from perflab.studies import database as study
from perflab.studies.database.acceptance import Accepted, digest
from perflab.studies.database.arms import Arms, Question
from perflab.studies.database.brought import _check_time
from perflab.studies.database.improvement import Improvement
from perflab.studies.database.views.queries import _finding
from perflab.workload import load_workload

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "parcels"


def some_arms() -> Arms:
    return Arms(
        before="",
        after="",
        questions=(
            Question("a", "x", "SELECT 1", lambda rng: Draw()),
            Question("b", "y", "SELECT 2", lambda rng: Draw(), timed=False, claimed=False),
        ),
        rows=0,
        built=BuildReport(),
        serves={},
        before_bytes=0,
        after_bytes=0,
        plan_cache_mode="auto",
    )


def test_a_section_about_the_labs_own_schema_says_that_it_was_not_run() -> None:
    outcome = study.measure_paging(some_arms(), load_profile("quick").database, 1)
    assert repr(outcome) == "not run: pages ever deeper (needs the lab's own schema)"
    assert study.paging_table(outcome) is outcome
    assert study.paging_plot(outcome) is outcome


def test_a_line_about_a_section_is_escaped_in_html() -> None:
    assert NotRun("<b>", "x & y")._repr_html_() == "<p><em>not run: &lt;b&gt; (x &amp; y)</em></p>"


def test_what_is_timed_and_what_is_claimed_are_parts_of_the_questions() -> None:
    arms = some_arms()
    assert [q.name for q in arms.timed] == ["a"]
    assert [q.name for q in arms.claimed] == ["a"]


@pytest.fixture
def improvement() -> Improvement:
    arm = Arm("any", lambda operation, params: 1)
    samples = Experiment(
        before=arm,
        after=arm,
        control=arm,
        operations=[
            Operation("first", "orders", lambda rng: Draw()),
            Operation("second", "stock", lambda rng: Draw()),
        ],
        rounds=20,
        calls=1,
    ).run()
    return Improvement(
        samples=samples,
        by_query={n: compare(samples, operations=[n]) for n in ("first", "second")},
        by_category={c: compare(samples, groups=[c]) for c in ("orders", "stock")},
        overall=compare(samples),
        claimed=("orders", "stock"),
        stated={
            "shop.speed": "query:second",
            "shop.orders.speed": "category:stock",
            "shop.mix": "all",
        },
    )


@pytest.mark.parametrize(
    ("claim", "about"),
    [
        ("shop.speed", "second"),
        ("shop.orders.speed", "stock"),
        ("shop.mix", "overall"),
        ("database.orders.improvement", "orders"),
        ("database.all.improvement", "overall"),
        ("database.first.improvement", None),
        ("capacity", None),
    ],
)
def test_a_claim_is_about_what_the_file_says_else_what_its_id_says(
    improvement: Improvement, claim: str, about: str | None
) -> None:
    known = {**improvement.by_query, **improvement.by_category, "overall": improvement.overall}
    assert improvement.about(claim) is (None if about is None else known[about])


def test_without_claims_of_ones_own_a_workload_is_judged_by_none(tmp_path: Path) -> None:
    text = (EXAMPLE / "workload.toml").read_text().partition("[[claim]]")[0]
    for name in ("schema.sql", "load.sql", "indexes.sql"):
        (tmp_path / name).write_text((EXAMPLE / name).read_text())
    (tmp_path / "w.toml").write_text(text)
    plan, profile = load_claims(), load_profile("quick")
    subject = study.choose_subject(
        check(DatabaseParameters, {"workload": str(tmp_path / "w.toml")}), profile
    )
    assert not subject.claims(plan).claim
    assert study.choose_subject(DatabaseParameters(), profile).claims(plan) is plan
    assert "--claims" in repr(study.plan_table([], subject.claims(plan)))


def test_a_workload_of_ones_own_is_described_by_its_file() -> None:
    parameters = DatabaseParameters(
        workload=str(EXAMPLE / "workload.toml"), claims=str(EXAMPLE / "claims.toml")
    )
    subject = study.choose_subject(parameters, load_profile("quick"))
    assert "load.sql" in repr(subject.row_frame())
    assert "CREATE UNIQUE INDEX parcels_code ON parcels (code)" in repr(subject.catalogue_frame())


VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.text(),
    st.booleans(),
    st.decimals(allow_nan=False),
    st.dates(),
    st.floats(allow_nan=False),
    st.lists(st.integers(), max_size=3),
)
ROWS = st.lists(st.tuples(VALUES, VALUES), max_size=8)


@given(ROWS, st.randoms())
def test_the_checksum_of_rows_does_not_depend_on_their_order(
    rows: list[tuple[object, ...]], random: object
) -> None:
    shuffled = rows[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert digest(shuffled) == digest(rows)


@given(ROWS, st.integers(0, 7), st.tuples(VALUES, VALUES))
def test_a_row_more_or_another_row_changes_the_checksum(
    rows: list[tuple[object, ...]], at: int, other: tuple[object, ...]
) -> None:
    assert digest([*rows, other]) != digest(rows)
    changed = [*rows[:at], (1, "another", dt.date(2025, 1, 1)), *rows[at + 1 :]]
    assert digest(changed) != digest(rows)


def test_sums_of_floats_may_differ_in_their_last_digits_only() -> None:
    assert digest([(0.1 + 0.2,)]) == digest([(0.3,)])
    assert digest([(0.1,)]) != digest([(0.100001,)])
    assert digest([(Decimal("0.1"), [{"a": 1}])]) == digest([(Decimal("0.10"), [{"a": 1}])])


def test_the_throughputs_title_states_what_was_measured() -> None:
    frame = pd.DataFrame(
        {
            "clients": [1, 1, 10, 10],
            "arm": ["before", "after"] * 2,
            "per_s": [100.0, 150.0, 100.0, 420.0],
        }
    )
    frame["per_s_lo"], frame["per_s_hi"] = frame["per_s"] * 0.9, frame["per_s"] * 1.1
    figure = study.throughput_plot(frame)
    assert "up to 4.2 times" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    ("intervals", "title"),
    [
        ([(80, 90), (10, 20)], "Indexed, each query is 15 to 85 % faster"),
        (
            [(80, 90), (-5, 15), (-30, -10)],
            "1 of 3 queries are faster, by up to 85 %; 1 slower, 1 not told apart",
        ),
    ],
)
def test_the_queries_title_claims_no_more_than_the_intervals(
    intervals: list[tuple[float, float]], title: str
) -> None:
    frame = pd.DataFrame(intervals, columns=["reduction_lo", "reduction_hi"])
    frame["reduction"] = frame.mean(axis="columns")
    assert _finding(frame) == title


def test_a_run_that_cannot_end_in_time_is_refused_with_its_slowest_query() -> None:
    workload = load_workload(EXAMPLE / "workload.toml")
    profile = load_profile("quick")
    seconds = {q.name: 0.01 for q in workload.queries}
    _check_time(Accepted((), {}, seconds, ()), workload, profile)
    slow = Accepted((), {}, {**seconds, "overdue": profile.deadline_s}, ())
    with pytest.raises(ConfigError, match=r"query\.name: .*slowest.*choose a longer") as caught:
        _check_time(slow, workload, profile)
    line = int(str(caught.value).split(", line ")[1].split(",")[0])
    lines = (EXAMPLE / "workload.toml").read_text().splitlines()
    assert lines[line - 1] == 'name = "overdue"'
