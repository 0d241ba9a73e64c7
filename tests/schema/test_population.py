"""The population: its skew, its permutations and who owns what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.errors import ParameterError
from perflab.schema.population import NOW, Owned, Population, at, scatter, us

SIZES = st.integers(10, 5_000)
SEEDS = st.integers(0, 2**32 - 1)


@given(total=st.integers(1, 20_000), seed=SEEDS)
def test_scatter_is_a_permutation(total: int, seed: int) -> None:
    assert np.array_equal(np.sort(scatter(np.arange(total), total, seed)), np.arange(total))


@given(users=SIZES, seed=SEEDS)
@settings(max_examples=30)
def test_every_user_has_one_rank(users: int, seed: int) -> None:
    population = Population(users, seed)
    ranks = population.user_ranks
    assert np.array_equal(population.rank_to_user(ranks), np.arange(1, users + 1))


@given(users=SIZES, seed=SEEDS)
@settings(max_examples=30)
def test_what_users_own_adds_up_and_every_thing_has_one_owner(users: int, seed: int) -> None:
    habits = Population(users, seed).habits
    assert habits.total == 3 * users
    user = np.arange(1, users + 1)
    assert np.array_equal(np.bincount(habits.owners, minlength=users + 1)[1:], habits.count(user))


@given(users=SIZES, seed=SEEDS, uniform=st.floats(0, 1, exclude_max=True))
@settings(max_examples=30)
def test_a_picked_thing_belongs_to_its_user(users: int, seed: int, uniform: float) -> None:
    projects = Population(users, seed).projects
    user = np.arange(1, users + 1)
    picked = projects.pick(user, np.full(users, uniform))
    has = picked > 0
    assert np.array_equal(has, projects.count(user) > 0)
    assert np.array_equal(projects.owners[picked[has] - 1], user[has])


def test_shares_are_exact_in_sum_and_follow_the_weights() -> None:
    owned = Owned.share_out(10, np.array([1.0, 3.0, 1.0]), 0)
    assert owned.count(np.array([1, 2, 3])).tolist() == [2, 6, 2]


@pytest.mark.parametrize("users", [300, 5_000, 50_000])
def test_the_skew_is_the_same_at_every_size(users: int) -> None:
    activity = np.sort(Population(users, 1).activity)[::-1]
    assert activity.mean() == pytest.approx(1.0)
    assert activity[: users // 100].sum() / users == pytest.approx(0.205, abs=0.01)
    assert np.median(activity) == pytest.approx(0.46, abs=0.02)


def test_users_are_drawn_in_proportion_to_their_activity() -> None:
    population = Population(1_000, 3)
    drawn = np.bincount(population.draw_users(population.rng(1), 400_000), minlength=1_001)[1:]
    busiest = np.argsort(population.activity)[::-1][:50]
    expected = population.activity[busiest] * 400
    assert np.allclose(drawn[busiest], expected, rtol=0.2)


def test_requests_come_from_users_of_every_activity() -> None:
    population = Population(1_000, 3)
    rng = population.rng(2)
    labels = [population.draw_user(rng)[1] for _ in range(500)]
    assert {label: labels.count(label) > 50 for label in set(labels)} == {
        "light": True,
        "typical": True,
        "heavy": True,
    }


@given(users=st.integers(10, 100_000))
def test_everyone_counted_at_a_time_had_signed_up(users: int) -> None:
    population = Population(users, 0)
    ids = np.unique(np.linspace(1, users, 100).astype(np.int64))
    signed_up = population.signed_up(ids)
    assert (np.diff(signed_up) > 0).all()
    assert signed_up[-1] < us(NOW)
    counted = population.users_by(signed_up[1:])
    assert (counted <= ids[1:]).all()
    assert (counted >= ids[1:] - 1).all()


def test_times_survive_the_way_to_microseconds_and_back() -> None:
    assert at(us(NOW)) == NOW


@pytest.mark.parametrize(("users", "seed"), [(9, 1), (0, 1), (100, -1), (100, 2**32)])
def test_an_impossible_population_is_refused_by_name(users: int, seed: int) -> None:
    with pytest.raises(ParameterError, match=r"^(users|seed)="):
        Population(users, seed)
