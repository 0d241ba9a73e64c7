"""Promised beside measured: what the titles count."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import pandas as pd
import pytest

from perflab.measure.claims import Claim, Claims
from perflab.measure.results import Origin, Result, from_estimate
from perflab.measure.statistics import Interval
from perflab.studies.database.views.claims import verdict_plot
from perflab.studies.promised import judged_frame, kept, promise_plot

ORIGIN = Origin(
    notebook="01_database", run_id="r", profile="smoke", seed=1, environment_id="e",
    rung="embedded", server_version="none",
)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "0 of 0 hold"),
        (["met"], "1 of 1 hold"),
        (["missed", "met", "missed"], "1 of 3 hold"),
        (["void", "met", "cannot tell"], "1 of 3 hold (1 cannot tell, 1 void)"),
        (["void", "void", "missed"], "0 of 3 hold (2 void)"),
        (["not measured", "met", "void"], "1 of 3 hold (1 void, 1 not measured)"),
    ],
)
def test_what_says_nothing_is_told_apart_from_what_was_missed(words: list[str], said: str) -> None:
    assert kept(words) == said


def test_the_words_of_a_column_are_counted_under_a_name_of_their_own() -> None:
    column = pd.Series(["met", "void"])
    assert kept(column, "averages hold") == "1 of 2 averages hold (1 void)"


def claim(number: int) -> Claim:
    return Claim(
        id=f"database.q{number}.improvement",
        area="database",
        table="t",
        row=f"q{number}",
        metric="count",
        unit="%",
        direction="at_least",
        target=50.0,
        wording="half",
        notebook="01_database",
    )


def of_each_word() -> tuple[list[Result], Claims]:
    """A met, a missed, an open and a void result."""
    claims = Claims(title="mine", claim=tuple(map(claim, range(4))))
    met, missed, open_ = Interval(60, 55, 65), Interval(40, 35, 45), Interval(50, 40, 60)
    results = [
        from_estimate(ORIGIN, value, n=9, claim=one, saturated=saturated)
        for one, value, saturated in zip(
            claims, (met, missed, open_, met), (False, False, False, True), strict=True
        )
    ]
    words = [result.verdict and result.verdict.word for result in results]
    assert words == ["met", "missed", "cannot tell", "void"]
    return results, claims


def title_of(figure: Any) -> str:
    assert isinstance(figure, matplotlib.figure.Figure)
    return " ".join(figure.axes[0].get_title(loc="left").split())


def test_a_plot_of_promises_says_how_many_of_them_say_nothing() -> None:
    results, claims = of_each_word()
    frame = judged_frame(results, claims, [one.id for one in claims])
    plot = promise_plot(frame, "averages", "hold at the promised rate", "ms")
    told = "1 of 4 promised averages hold at the promised rate (1 cannot tell, 1 void)"
    assert title_of(plot) == told


def test_a_plot_of_improvements_does_so_too() -> None:
    told = "1 of 4 promised improvements are met at this size (1 cannot tell, 1 void)"
    assert title_of(verdict_plot(*of_each_word())) == told
