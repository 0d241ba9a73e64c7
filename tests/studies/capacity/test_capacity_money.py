"""Money and advice out of the study's figures, and the notebook's parameters."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from capacity_study import FOUND, LOADS, load_of, rung, some_sizes

from perflab.capacity.cost import load_pricing
from perflab.capacity.queues import People
from perflab.capacity.scalability import NotFitted
from perflab.errors import ConfigError, ParameterError
from perflab.measure.statistics import Interval, NotEstimable
from perflab.parameters import ApiParameters, CapacityParameters, check
from perflab.report.not_run import NotRun
from perflab.report.tables import Table
from perflab.studies.api.parts import FULL, NO_CACHE
from perflab.studies.capacity import people_of, prices_of, sizes_of
from perflab.studies.capacity.advice import advise
from perflab.studies.capacity.ladder import Ladder, Rung
from perflab.studies.capacity.money import Basis, basis_of, month, savings_frame
from perflab.studies.capacity.opened import NEITHER, Stack
from perflab.studies.capacity.steps import OpenStep
from perflab.studies.capacity.views.money import (
    advice_table,
    explorer,
    people_table,
    savings_table,
)

PEOPLE = People(daily_users=240_000)
CORE = Interval(400.0, 400.0, 500.0)
BASIS = Basis(CORE, {FULL: 1.0, NO_CACHE: 0.5, NEITHER: 0.1}, 1000.0, 1e-4)


def stack() -> Stack:
    """As far as money and advice look at it."""
    settings = SimpleNamespace(settings=SimpleNamespace(pool_size=10))
    made = SimpleNamespace(
        database_gb=2.0, database_users=1_000, site=SimpleNamespace(orders=lambda: settings)
    )
    return cast(Stack, made)


def arms(**rps: float) -> dict[str, tuple[Rung, ...]]:
    figures = {FULL: 1000.0, NO_CACHE: 500.0, NEITHER: 100.0}
    return {name: (rung(8, figures[name]), rung(8, figures[name])) for name in figures}


def test_the_basis_is_what_was_measured() -> None:
    basis = basis_of(stack(), arms(), CORE)
    assert isinstance(basis, Basis)
    assert basis.relative == {FULL: 1.0, NO_CACHE: 0.5, NEITHER: 0.1}
    assert basis.answer_bytes == 1000.0  # 650 of body and 350 of head
    assert basis.user_gb == pytest.approx(0.002)


def test_without_a_rate_that_held_there_is_no_money() -> None:
    none = basis_of(stack(), arms(), NotEstimable("p95 kept the promise at no step"))
    assert isinstance(none, NotRun)
    assert str(savings_table(none, PEOPLE, load_pricing())) == str(none)
    assert explorer(none, PEOPLE, load_pricing()) is none


def test_a_month_is_the_requests_of_all_sessions_at_what_an_answer_weighs() -> None:
    """240,000 · 2 · 600/10 requests of 1,000 bytes a day: 28.8 GB, 876 GB a month."""
    bill = month(BASIS, PEOPLE, load_pricing())
    through = next(line for line in bill.lines if line.item == "through the balancer")
    assert through.quantity.expected == pytest.approx(28.8 * 365 / 12)
    stored = next(line for line in bill.lines if line.item == "storage")
    assert (stored.quantity.expected, stored.quantity.high) == pytest.approx((24.0, 48.0))
    assert bill.users == 240_000


def test_each_arm_is_paid_for_what_it_holds_and_everything_saves_the_rest() -> None:
    rows = savings_frame(BASIS, PEOPLE, load_pricing()).to_dict("list")
    assert rows["arm"] == ["neither", "indexes, no cache", "indexes and cache"]
    assert rows["core_rps"] == pytest.approx([40.0, 200.0, 400.0])
    assert rows["nodes"] == sorted(rows["nodes"], reverse=True)
    amounts = np.array(rows["amount_expected"])
    assert rows["saves_expected"] == pytest.approx(list(amounts - amounts[2]))
    assert rows["saves_expected"][0] > rows["saves_expected"][1] > 0


def test_one_more_node_to_lose_costs_one_more_node() -> None:
    prices = load_pricing()
    one, two = (month(BASIS, PEOPLE, prices, lost=lost).lines[0].quantity for lost in (1, 2))
    assert two.expected == one.expected + 1


def held(ms: float) -> OpenStep:
    return OpenStep(load_of(400.0, np.full(400, ms / 1e3)), FOUND, 150.0)


def ladder() -> Ladder:
    return Ladder(tuple(rung(n, 100.0 * n) for n in LOADS), NotFitted("linear"))


def test_advice_rests_on_the_measured_figures() -> None:
    found = advise(stack(), ladder(), [held(20)], arms(), PEOPLE)
    assert isinstance(found, tuple)
    said = " ".join(one.because for one in found)
    assert "1,000 requests/s are asked for and one core holds 400" in said
    table = advice_table(found)
    assert isinstance(table, Table)
    assert len(table.shown) == len(found)


def test_without_a_step_that_held_there_is_no_advice_and_none_is_a_valid_answer() -> None:
    found = advise(stack(), ladder(), [held(200)], arms(), PEOPLE)
    assert isinstance(found, NotRun)
    assert str(advice_table(found)) == str(found)
    assert "no figure speaks for a change" in str(advice_table(()))


# --- the notebook's own ---


def test_people_and_prices_are_the_parameters() -> None:
    asked = CapacityParameters(daily_users=1_000, think_s=5.0, busiest=2.0)
    people = people_of(asked)
    assert (people.daily_users, people.think_s, people.busiest) == (1_000, 5.0, 2.0)
    assert prices_of(asked) == load_pricing()
    with pytest.raises(ParameterError, match="not the parameters of 07_capacity"):
        people_of(ApiParameters())


def test_a_crowd_that_is_asked_for_is_really_put_on_and_long_enough() -> None:
    sizes = some_sizes(people=[1_000, 20_000], people_s=1.0, identities=49)
    assert sizes_of(sizes, CapacityParameters()) is sizes
    asked = sizes_of(sizes, CapacityParameters(crowd=10_000, think_s=10.0))
    assert asked.people == [1_000, 10_000], "no more than were asked for"
    assert asked.people_s == 60.0
    assert asked.identities == 10_000, "so that the limiter grants what they ask for"
    assert sizes_of(sizes, CapacityParameters(crowd=1_000)).people == [1_000]


def test_the_default_people_are_the_plans_ten_thousand() -> None:
    people = people_of(CapacityParameters())
    assert people.concurrent == pytest.approx(10_000)
    assert people.arrival_rps() == pytest.approx(1_000)
    assert "240,000" in repr(people_table(people))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"think_s": 0}, "think_s=0"),
        ({"daily_users": 0}, "daily_users=0"),
        ({"busiest": 0.5}, "busiest=0.5"),
        ({"crowd": -1}, "crowd=-1"),
        ({"p95_ms": "fast"}, "p95_ms='fast'"),
        ({"session_s": 1e6}, "session_s="),
    ],
)
def test_a_parameter_out_of_range_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        check(CapacityParameters, values)


def test_bad_prices_stop_the_notebook_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        check(CapacityParameters, {"pricing": str(tmp_path / "none.toml")})


def test_sliders_come_only_where_somebody_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    shown = explorer(BASIS, PEOPLE, load_pricing())
    assert isinstance(shown, Table)
    monkeypatch.setenv("JPY_SESSION_NAME", "07_capacity.ipynb")
    widget = explorer(BASIS, PEOPLE, load_pricing())
    assert not isinstance(widget, Table)
    assert {slider.description for slider in widget.children[:4]} == {
        "daily_users",
        "sessions",
        "pause_s",
        "lost",
    }
    monkeypatch.setenv("PERFLAB_SERVICES_FILE", "x")
    assert isinstance(explorer(BASIS, PEOPLE, load_pricing()), Table), "a run has nobody there"
