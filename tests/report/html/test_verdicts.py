"""What the report says about claims."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perflab.measure.claims import Claims, Word, load_claims
from perflab.measure.statistics import Interval, NotEstimable
from perflab.report.html.verdicts import NOT_MEASURED, STRIP_WIDTH, SYMBOLS, verdicts_of

from .folders import CLAIMS, EVERY_WORD, make_result, make_run
from .page import Page
from .test_page import report


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return report(make_run(tmp_path, *EVERY_WORD))


def test_every_word_is_counted_and_told_by_more_than_its_colour(page: Page) -> None:
    assert set(SYMBOLS) == {*get_args(Word), NOT_MEASURED}
    assert len(set(SYMBOLS.values())) == len(SYMBOLS)
    for word in get_args(Word):
        assert f"1 {SYMBOLS[word]} {word}" in page.text
    assert f"1 {SYMBOLS[NOT_MEASURED]} {NOT_MEASURED}" in page.text
    told = "4 of 5 promised figures were measured: 1 met, 1 missed, 1 cannot tell, 1 void."
    assert told in page.text


def test_a_row_holds_promise_measurement_verdict_and_reason(page: Page) -> None:
    subject = "Tasks · Improvement “85% faster” · database.tasks"
    assert f"{subject} at least 85 % 90 [88, 92] % ✓ met a reason" in page.text


def test_what_was_not_measured_is_listed_by_area(page: Page) -> None:
    assert "cache: 1 claim Cache: at least 88 % (“88% hits”) cache.hits" in page.text


def test_a_figure_that_is_not_estimable_says_so(tmp_path: Path) -> None:
    result = make_result("database.tasks", "cannot tell", NotEstimable("too few calls"))
    page = report(make_run(tmp_path, result))
    assert "at least 85 % not estimable ? cannot tell a reason" in page.text


def test_a_claim_that_the_file_lacks_is_shown_all_the_same(tmp_path: Path) -> None:
    page = report(make_run(tmp_path, make_result("mine.own", "met", target=12.0)))
    assert "1 of 6 promised figures was measured: 1 met." in page.text
    assert "mine.own 12 % 90 [88, 92] % ✓ met" in page.text


def test_the_newest_result_of_a_claim_counts(tmp_path: Path) -> None:
    old = msgspec.structs.replace(
        make_result("database.tasks", "missed"), recorded_at="2026-11-24T01:00:00+00:00"
    )
    page = report(make_run(tmp_path, make_result("database.tasks", "met"), old))
    assert "1 of 5 promised figures was measured: 1 met." in page.text


@given(
    ends=st.tuples(*[st.floats(-1e9, 1e9)] * 3).map(sorted),
    target=st.floats(-1e9, 1e9),
    claim=st.sampled_from(["database.tasks", "database.pool"]),
)
@example(ends=[0.0, 0.0, 2.2250738585072014e-308], target=0.0, claim="database.tasks")
def test_the_small_picture_keeps_its_order_and_its_frame(
    ends: list[float], target: float, claim: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    claims = _claims(tmp_path_factory)
    result = make_result(claim, "met", Interval(ends[1], ends[0], ends[2]), target=target)
    (row,) = verdicts_of(claims, {claim: result}).judged
    strip = row.strip
    assert strip is not None
    assert 0 <= strip.lo <= strip.estimate <= strip.hi <= STRIP_WIDTH
    assert 0 <= strip.target <= STRIP_WIDTH
    if ends[0] > target + 1e-3 * (ends[2] - target):
        assert strip.lo >= strip.target
    start, end = strip.kept_from, strip.kept_from + strip.kept_width
    assert (start, end) == pytest.approx(
        (strip.target, STRIP_WIDTH) if claim == "database.tasks" else (0, strip.target), abs=0.11
    )


def _claims(factory: pytest.TempPathFactory) -> Claims:
    path = factory.getbasetemp() / "claims.toml"
    path.write_text(CLAIMS)
    return load_claims(path)
