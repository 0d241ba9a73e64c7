from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.errors import ConfigError
from perflab.measure.claims import (
    Claim,
    ClaimError,
    Claims,
    Contradiction,
    Word,
    figure,
    judge,
    load_claims,
)
from perflab.measure.expressions import ExpressionError, evaluate, names_in
from perflab.measure.metrics import METRICS, reduction_percent
from perflab.measure.statistics import Interval, NotEstimable, exact

PLAN = (Path(__file__).parent / "plan.md").read_text(encoding="utf-8")
"""The plan whose figures ``data/claims.toml`` lists."""

CLAIM = """\
[[claim]]
id = "some.claim"
area = "some"
table = "Some table"
metric = "mean_ms"
unit = "ms"
direction = "at_most"
target = 10
wording = "fast"
notebook = "01_database"
"""
GOOD = f'title = "Some plan"\n\n{CLAIM}'


def make(**changes: object) -> Claim:
    plain = {
        "id": "some.claim",
        "area": "some",
        "table": "Some table",
        "metric": "mean_reduction_percent",
        "unit": "%",
        "direction": "at_least",
        "target": 85.0,
        "wording": "85% faster",
        "notebook": "01_database",
    }
    return Claim(**{**plain, **changes})  # type: ignore[arg-type]  # names are the fields'


# --- the shipped file ---


def test_every_wording_is_the_plans_own() -> None:
    claims = load_claims()
    wordings = [w for claim in claims for w in (claim.wording, *claim.also)]
    for wording in (*wordings, *(sentence.wording for sentence in claims.not_a_figure)):
        assert wording in PLAN, wording


def test_every_cell_stands_in_its_row_below_its_heading() -> None:
    for claim in load_claims():
        below = PLAN.partition(claim.table)[2]
        assert below, claim.id
        if claim.row:
            row = next(line for line in below.splitlines() if f"**{claim.row}**" in line)
            assert claim.wording in row
            assert claim.before is None or f"{claim.before:g}ms" in row.replace("2.5s", "2500ms")


def test_every_line_of_the_plan_with_a_figure_is_accounted_for() -> None:
    claims = load_claims()
    wordings = [
        w
        for claim in claims
        for w in (claim.wording, *claim.also)
        if not claim.row or w in claim.also
    ]
    wordings += [sentence.wording for sentence in claims.not_a_figure]
    rows = {f"**{claim.row}**" for claim in claims if claim.row}
    no_promise = re.compile(
        r"#{1,4} |\d\. ✅ |\*\*(Phase|Sub-Phase|Date|Phase 4\.5 Status|Next Phase)\*\*"
    )
    missing = [
        line
        for line in PLAN.splitlines()
        if re.search(r"\d", line)
        and not no_promise.match(line)
        and not any(text in line for text in (*wordings, *rows))
    ]
    assert missing == []


def test_each_figure_of_the_plans_tables_is_a_claim() -> None:
    claims = load_claims()
    cells = {(claim.row, claim.column) for claim in claims if claim.row}
    databases = {"Task Queries", "Habit Tracking", "Analytics Queries", "User Profile Load"}
    tiers = {"Memory Cache", "Redis Cache", "CDN Cache", "Combined"}
    endpoints = {"Authentication", "Task Operations", "Analytics", "Real-time"}
    assert cells >= {(row, column) for row in databases for column in ("After", "Improvement")}
    assert cells >= {(row, column) for row in tiers for column in ("Hit Rate", "Response Time")}
    assert cells >= {
        (row, column)
        for row in endpoints
        for column in ("RPS Capacity", "Avg Response", "Rate Limit")
    }
    before = {claim.row: claim.before for claim in claims if claim.before is not None}
    assert before == {
        "Task Queries": 800,
        "Habit Tracking": 450,
        "Analytics Queries": 2_500,
        "User Profile Load": 300,
    }


def test_averages_are_judged_on_the_mean() -> None:
    for claim in load_claims():
        if "avg" in claim.wording or "average" in claim.wording:
            assert claim.statistic == "mean", claim.id


def test_the_database_notebook_judges_what_it_measures() -> None:
    ids = {claim.id for claim in load_claims().of(notebook="01_database")}
    subjects = ("tasks", "habits", "analytics", "profile")
    assert ids == {
        *(f"database.{s}.{what}" for s in subjects for what in ("improvement", "after_mean")),
        "database.all.improvement",
        "database.indexes.count",
        "database.pool.max",
    }


def test_the_plans_contradictions_are_computed() -> None:
    findings = {finding.id: finding for finding in load_claims().findings()}
    assert all(finding.contradicts for finding in findings.values())
    figures = {id_: (finding.says, finding.implies) for id_, finding in findings.items()}
    assert figures["cache.combined_below_memory"] == (88, 95)
    assert figures["cache.combined_of_tiers"] == pytest.approx((88, 99.8125))
    assert figures["api.capacity_of_rows"] == (1_000, 375)
    assert figures["database.improvement"] == (95, 85)
    assert figures["load.auth_quota"] == (180, 10)
    assert figures["load.analytics_quota"] == (12, 10)
    assert figures["cache.memory_ttl"] == pytest.approx((1_000, 1_000 * 95 / 5 / 0.3))
    assert findings["api.capacity_of_rows"].claims[0] == "api.all.rps"


def test_a_mended_plan_no_longer_contradicts_itself(tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[2] / "data" / "claims.toml").read_text(encoding="utf-8")
    mended = re.sub(r'(id = "api\.all\.rps"(?s:.*?)target = )1_000', r"\g<1>375", shipped)
    path = tmp_path / "claims.toml"
    path.write_text(mended, encoding="utf-8")
    findings = {finding.id: finding for finding in load_claims(path).findings()}
    assert not findings["api.capacity_of_rows"].contradicts
    assert findings["api.capacity_of_rows"].sentence.endswith("consistent")


def test_a_claim_is_found_by_its_id() -> None:
    claims = load_claims()
    assert claims.get("database.tasks.improvement").target == 85
    assert "database.tasks.improvement" in claims
    assert "database.tasks" not in claims
    assert {claim.area for claim in claims.of(area="cache")} == {"cache"}
    with pytest.raises(ClaimError, match=r"no claim 'some\.thing'"):
        claims.get("some.thing")


# --- files of one's own, good and bad ---


def refused(tmp_path: Path, text: str) -> str:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_claims(path)
    message = str(raised.value)
    assert message.startswith(f"{path}")
    assert "\n" not in message
    return message.removeprefix(str(path)).lstrip(",: ")


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert [claim.promise for claim in load_claims(path)] == ["at most 10 ms"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "some.claim"\n', "", "line 3, claim: Object missing required field `id`"),
        ("target = 10\n", "", "line 3, claim: Object missing required field `target`"),
        ("target = 10", 'target = "10"', "line 10, claim.target: Expected `float`, got `str`"),
        ("target = 10", "target = nan", "line 10, claim.target: nan is not a finite number"),
        ("target = 10", "target = -inf", "line 10, claim.target: -inf is not a finite number"),
        ("target = 10", "target = 10\nbefore = inf", "line 11, claim.before: inf is not a finite"),
        (
            "target = 10",
            "target = 10\ntargte = 3",
            "line 11, claim.targte: Object contains unknown",
        ),
        ('"some.claim"', '"Some Claim"', "line 4, claim.id: 'Some Claim': use lower-case words"),
        ('"some.claim"', '"some.class"', "line 4, claim.id: 'some.class': use lower-case words"),
        (
            '"mean_ms"',
            '"average"',
            "line 7, claim.metric: 'average' is unknown; choose one of mean_",
        ),
        ('unit = "ms"', 'unit = "s"', "line 8, claim.unit: 's', but mean_ms is in 'ms'"),
        ('unit = "ms"', 'unit = " "', "line 8, claim.unit: is empty"),
        ('"at_most"', '"below"', "line 9, claim.direction: 'below' is unknown; choose one of at_l"),
        ('"fast"', '""', "line 11, claim.wording: is empty"),
        ('"01_database"', '"database"', "line 12, claim.notebook: 'database': name a notebook"),
        (
            'wording = "fast"',
            'wording = "fast"\ncolumn = "After"',
            "line 12, claim.column: is given",
        ),
        ('title = "Some plan"', "title = 4", "line 1, title: Expected `str`, got `int`"),
        ('title = "Some plan"', "", "line 1, the file: Object missing required field `title`"),
        ("[[claim]]", "[claim]", "line 3, claim: Expected `array`, got `object`"),
        ("[[claim]]", "[[claims]]", "line 3, claims: Object contains unknown field `claims`"),
        ("[[claim]]", "[[claim]", "not valid TOML"),
    ],
)
def test_a_bad_entry_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    assert refused(tmp_path, GOOD.replace(old, new)).startswith(message)


def test_a_second_claim_of_the_same_id_is_named(tmp_path: Path) -> None:
    message = refused(tmp_path, f"{GOOD}\n{CLAIM}")
    assert message == "line 15, claim.id: 'some.claim' is used twice; ids must differ"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"some.claim"', '"other.claim"', "says: 'other.claim' is not the id of a claim"),
        ('"some.claim"', '"some.claim +"', "says: 'some.claim +' is no arithmetic expression"),
        ('"some.claim"', '"__import__(1)"', "says: '__import__(1)': only numbers, claim ids"),
        ('"some.claim"', '"some.claim ** 2"', "says: 'some.claim ** 2': only numbers, claim ids"),
        ('"2 * some.claim"', '"some.claim / 0"', "implies: 'some.claim / 0' divides by zero"),
        ('"at_most"', '"less"', "consistent_if: 'less' is unknown; choose one of at_most,"),
        ('id = "one"', 'id = "One"', "id: 'One': use lower-case words"),
    ],
)
def test_a_bad_contradiction_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    entry = (
        '[[contradiction]]\nid = "one"\ntitle = "t"\nsays = "some.claim"\n'
        'consistent_if = "at_most"\nimplies = "2 * some.claim"\nunit = "ms"\nwhy = "w"\n'
    )
    found = refused(tmp_path, f"{GOOD}\n{entry.replace(old, new)}")
    key = message.partition(":")[0]
    lines = {"id": 15, "says": 17, "consistent_if": 18, "implies": 19}
    assert found.startswith(f"line {lines[key]}, contradiction.{message}")


def test_a_sentence_without_a_reason_is_named(tmp_path: Path) -> None:
    entry = '[[not_a_figure]]\nwording = "best"\nwhy = ""\n'
    assert refused(tmp_path, f"{GOOD}\n{entry}") == "line 16, not_a_figure.why: is empty"


@given(text=st.text(max_size=200))
def test_text_that_is_no_file_of_claims_is_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("claims") / "own.toml"
    path.write_text(text, encoding="utf-8", errors="ignore", newline="")
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        load_claims(path)


@given(
    key=st.sampled_from([line.partition(" = ")[0] for line in CLAIM.splitlines()[1:]]),
    value=st.one_of(
        st.just("[]"), st.just("{}"), st.just("true"), st.just("1979-05-27"), st.just("nan")
    ),
)
def test_a_value_of_the_wrong_type_names_its_key_and_line(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: str
) -> None:
    lines = GOOD.splitlines()
    number = next(n for n, line in enumerate(lines) if line.startswith(f"{key} = "))
    lines[number] = f"{key} = {value}"
    message = refused(tmp_path_factory.mktemp("claims"), "\n".join(lines))
    assert message.startswith(f"line {number + 1}, claim.{key}: ")


# --- verdicts ---

ends = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("lo", "hi", "word"),
    [(85, 90, "met"), (80, 84.9, "missed"), (80, 90, "cannot tell"), (84.9, 85, "cannot tell")],
)
def test_the_whole_interval_must_lie_on_one_side(lo: float, hi: float, word: Word) -> None:
    verdict = judge(make(), Interval((lo + hi) / 2, lo, hi), Interval(1, 0.9, 1.1))
    assert verdict.word == word
    assert "at least 85 %" in verdict.reason


@given(target=ends, one=ends, other=ends)
def test_a_verdict_is_met_missed_or_cannot_tell_by_its_interval_alone(
    target: float, one: float, other: float
) -> None:
    lo, hi = sorted((one, other))
    estimate = Interval(lo, lo, hi)
    at_least = judge(make(target=target), estimate).word
    at_most = judge(make(target=target, direction="at_most"), estimate).word
    assert (at_least == "met") == (lo >= target)
    assert (at_least == "missed") == (hi < target)
    assert (at_most == "met") == (hi <= target)
    assert (at_most == "missed") == (lo > target)


def test_a_control_that_differs_from_itself_forbids_a_verdict() -> None:
    verdict = judge(make(), Interval(99, 98, 99.5), Interval(1.1, 1.05, 1.2))
    assert verdict.word == "cannot tell"
    assert verdict.reason == "the same system measured twice differs: A/A ratio 1.050 to 1.200"


def test_what_is_not_estimable_is_not_judged() -> None:
    verdict = judge(make(), NotEstimable("19 blocks; an interval needs 20"))
    assert verdict.word == "cannot tell"
    assert verdict.reason == "not estimable: 19 blocks; an interval needs 20"
    assert judge(make(), exact(90.0), NotEstimable("none")).word == "cannot tell"


def test_a_saturated_generator_voids_every_verdict() -> None:
    for estimate in (exact(99.0), exact(1.0), NotEstimable("none")):
        assert judge(make(), estimate, saturated=True).word == "void"


def test_a_count_is_judged_without_an_interval() -> None:
    count = make(metric="count", unit="indexes", target=20)
    assert judge(count, exact(23.0)).reason == "23 indexes, promised at least 20 indexes"
    assert judge(count, exact(19.0)).word == "missed"


@given(lo=st.floats(0.001, 10), width=st.floats(0, 10))
def test_a_reduction_turns_the_intervals_ends(lo: float, width: float) -> None:
    ratio = Interval(lo + width / 2, lo, lo + width)
    reduction = reduction_percent(ratio)
    assert isinstance(reduction, Interval)
    assert reduction.lo == pytest.approx(100 * (1 - ratio.hi))
    assert reduction.hi == pytest.approx(100 * (1 - ratio.lo))
    assert reduction.lo <= reduction.hi


def test_metrics_know_their_units() -> None:
    assert {metric.unit for metric in METRICS.values() if metric.kind == "reduction"} == {"%"}
    assert {metric.unit for metric in METRICS.values() if metric.kind == "absolute"} == {"ms"}


# --- expressions and figures ---


@given(st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 99))
def test_expressions_are_arithmetic(a: int, b: int, c: int) -> None:
    values = {"x.a": float(a), "x.b": float(b), "c": float(c)}
    assert evaluate("(x.a - x.b) * 2 / c + -1.5", values) == pytest.approx((a - b) * 2 / c - 1.5)


@pytest.mark.parametrize(
    "text", ["", "a", "1 if 1 else 2", "[1]", "f(1)", "'a'", "1 < 2", "True", "1e999", "a.b().c"]
)
def test_anything_else_is_no_expression(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, {})


def test_names_come_in_the_order_of_their_use() -> None:
    assert names_in("b.c * 2 + a / b.c - (d)") == ("b.c", "a", "d")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (85, "85"),
        (99.8125, "99.81"),
        (63_333.3, "63,333"),
        (0.0123456, "0.01235"),
        (-1.5, "-1.5"),
        (1_000, "1,000"),
        (0.99999, "1"),
        (math.nan, "nan"),
    ],
)
def test_figures_are_written_as_people_write_them(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_contradiction_is_about_equal_within_two_percent() -> None:
    def contradicts(target: float) -> bool:
        entry = Contradiction("one", "t", "some.claim", "100", "about", "%", "w")
        claims = Claims("t", (make(target=target),), (), (entry,))
        return claims.findings()[0].contradicts

    assert [contradicts(target) for target in (97.9, 98.1, 101.9, 102.1)] == [
        True,
        False,
        False,
        True,
    ]
