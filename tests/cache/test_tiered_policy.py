"""Cache policies and the chance of an early refresh."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.entry import CacheError
from perflab.cache.policy import (
    ACTIVE_TASKS,
    ANALYTICS,
    POLICIES,
    PUBLIC_CONTENT,
    QUERY,
    USER_PROFILE,
    CachePolicy,
)
from perflab.cache.xfetch import REACH, is_due


def test_the_plans_five_policies() -> None:
    assert [policy.ttl_s / 60 for policy in (USER_PROFILE, ACTIVE_TASKS, ANALYTICS, QUERY)] == [
        60, 15, 30, 5,
    ]  # fmt: skip
    assert PUBLIC_CONTENT.edge_ttl_s >= 2 * 3600
    assert [policy.name for policy in POLICIES if policy.needs_tags] == ["analytics", "query"]
    assert len({policy.name for policy in POLICIES}) == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ttl_s", 0),
        ("ttl_s", -1.0),
        ("ttl_s", math.nan),
        ("memory_ttl_s", math.inf),
        ("hard_timeout_s", 0.0),
        ("stale_s", -0.1),
        ("negative_ttl_s", "5"),
        ("soft_timeout_s", None),
        ("early_beta", True),
        ("ttl_s", 1e10),
        ("stale_s", 10**400),
    ],
)
def test_a_duration_out_of_range_is_named(field: str, value: object) -> None:
    fields = {"ttl_s": 1.0, field: value}
    with pytest.raises(
        CacheError, match=rf"cache policy 'mine': {field}=.*: must be (above|at least)"
    ):
        CachePolicy(name="mine", **fields)  # type: ignore[arg-type]


def test_a_policy_needs_a_name() -> None:
    with pytest.raises(CacheError, match="policy name must not be empty"):
        CachePolicy(name="", ttl_s=1.0)


def test_a_lease_outlasts_the_longest_load() -> None:
    assert CachePolicy(name="p", ttl_s=1.0, hard_timeout_s=7.0).lease_s > 7.0


def test_a_policy_can_be_varied() -> None:
    assert msgspec.structs.replace(QUERY, ttl_s=1.0).needs_tags


@pytest.mark.parametrize(("remaining_s", "load_s", "beta"), [(2.0, 1.0, 1.0), (3.0, 1.0, 2.0)])
def test_the_chance_of_an_early_refresh_is_the_papers(
    remaining_s: float, load_s: float, beta: float
) -> None:
    # P(-delta beta ln U >= remaining) = exp(-remaining / (delta beta))
    draws, uniform = 20_000, np.random.default_rng(7).random
    due = sum(is_due(remaining_s, load_s, beta, uniform) for _ in range(draws))
    expected = math.exp(-remaining_s / (load_s * beta))
    four_sigma = 4 * math.sqrt(expected * (1 - expected) / draws)
    assert due / draws == pytest.approx(expected, abs=four_sigma)


def test_an_expired_entry_is_always_due() -> None:
    assert is_due(0.0, 1.0, 1.0, lambda: 0.0)
    assert is_due(-1.0, 0.0, 1.0, lambda: 0.5)


@given(
    load_s=st.floats(1e-6, 1e3),
    beta=st.floats(0.1, 10.0),
    share=st.floats(1.000001, 100.0),
)
def test_beyond_its_reach_no_draw_makes_an_entry_due(
    load_s: float, beta: float, share: float
) -> None:
    boldest = 1 - 2**-53  # the largest number that random() returns
    assert not is_due(load_s * beta * REACH * share, load_s, beta, lambda: boldest)
    assert is_due(load_s * beta * REACH / share, load_s, beta, lambda: boldest)
