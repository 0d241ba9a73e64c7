"""The search for the highest rate: bounded, and never fooled by its own generator."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from perflab.studies.api.search import CLOSE, STRIDE, bracket, search


@dataclass(frozen=True)
class Tried:
    rate_rps: float
    void: str = ""
    good: bool = True


def holds(one: Tried) -> bool:
    return one.good


@given(
    capacity=st.floats(0.5, 50_000),
    first=st.floats(1, 1_000),
    most=st.floats(1_000, 20_000),
    probes=st.integers(1, 25),
)
def test_the_bracket_holds_the_capacity_and_the_bounds_are_kept(
    capacity: float, first: float, most: float, probes: int
) -> None:
    tried = search(
        lambda rate: Tried(rate, good=rate <= capacity),
        holds,
        first=first,
        most=most,
        probes=probes,
    )
    found = bracket(tried, holds)
    assert 1 <= len(tried) <= probes
    assert max(one.rate_rps for one in tried) <= most
    assert found.lower <= capacity
    assert found.upper > capacity
    assert len({one.rate_rps for one in tried}) == len(tried), "no rate twice"
    if probes == 25:
        assert found.upper <= found.lower * CLOSE or found.lower == most or not found.lower


def test_it_strides_up_until_it_fails_and_then_closes_in() -> None:
    tried = search(lambda rate: Tried(rate, good=rate <= 100), holds, first=10, most=1e6, probes=5)
    rates = [one.rate_rps for one in tried]
    assert rates[:3] == [10, 10 * STRIDE, 10 * STRIDE**2]
    assert rates[3] == math.sqrt(40 * 160)
    assert rates[4] == math.sqrt(80 * 160)


def test_where_the_generator_gives_up_there_is_no_upper_bound_of_the_server() -> None:
    tried = search(
        lambda rate: Tried(rate, void="late" if rate > 100 else ""),
        holds,
        first=10,
        most=1e6,
        probes=12,
    )
    found = bracket(tried, holds)
    assert found.upper == math.inf
    assert 100 / CLOSE < found.lower <= 100
    assert found.failed is not None
    assert found.failed.void == "late"


def test_a_rate_that_held_above_one_that_failed_does_not_count() -> None:
    """A lucky second must not hide an unlucky one."""
    found = bracket([Tried(10), Tried(40, good=False), Tried(80)], holds)
    assert (found.lower, found.upper) == (10, 40)


def test_known_loads_are_not_repeated_and_come_first() -> None:
    known = (Tried(50), Tried(200, good=False))
    tried = search(
        lambda rate: Tried(rate, good=rate <= 90), holds, first=50, most=1e4, probes=2, known=known
    )
    assert tried[:2] == known
    assert [round(one.rate_rps) for one in tried[2:]] == [100, 71]


def test_where_nothing_holds_it_goes_down() -> None:
    tried = search(lambda rate: Tried(rate, good=False), holds, first=64, most=1e4, probes=4)
    assert [one.rate_rps for one in tried] == [64, 32, 16, 8]
    assert bracket(tried, holds).lower == 0
    tried = search(
        lambda rate: Tried(rate, good=False), holds, first=64, most=1e4, probes=4, least=16
    )
    assert [one.rate_rps for one in tried] == [64, 32, 16]
