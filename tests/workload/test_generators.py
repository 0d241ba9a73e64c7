"""Generators stay in their ranges, follow the seed, and give what PostgreSQL takes."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.database.session import Session
from perflab.workload.generators import Spec, Unusable, check, make

UTC = dt.UTC


def draw(spec: Spec, count: int, seed: int = 1, drawn: tuple[object, ...] = ()) -> list[Any]:
    check(spec)
    rng = np.random.default_rng(seed)
    generator = make(spec, drawn)
    return [generator(rng) for _ in range(count)]


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 10**6),
    st.sampled_from(["uniform", "normal"]),
    st.integers(0, 2**32 - 1),
)
def test_integers_stay_between_their_ends_and_follow_the_seed(
    first: int, width: int, distribution: Any, seed: int
) -> None:
    spec = Spec(integer=(first, min(first + width, 2**63 - 1)), distribution=distribution)
    values = draw(spec, 20, seed)
    assert all(type(v) is int and first <= v <= first + width for v in values)
    assert values == draw(spec, 20, seed)


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.floats(0.1, 3))
def test_zipf_stays_between_its_ends_in_either_direction(
    first: int, last: int, skew: float
) -> None:
    values = draw(Spec(integer=(first, last), distribution="zipf", skew=skew), 50)
    assert all(min(first, last) <= v <= max(first, last) for v in values)


@pytest.mark.parametrize("skew", [0.5, 1.0, 1.5])
def test_zipf_gives_the_shares_that_its_skew_says(skew: float) -> None:
    counted = Counter(draw(Spec(integer=(1, 50), distribution="zipf", skew=skew), 20_000))
    heights = np.arange(1, 51) ** -skew
    for rank in (1, 2, 5):
        share = heights[rank - 1] / heights.sum()
        assert counted[rank] / 20_000 == pytest.approx(share, abs=4 * (share / 20_000) ** 0.5)


def test_zipf_over_a_range_that_counts_down_prefers_its_first_end() -> None:
    days = draw(
        Spec(date=(dt.date(2025, 6, 30), dt.date(2025, 1, 1)), distribution="zipf", skew=2), 500
    )
    assert Counter(days).most_common(1)[0][0] == dt.date(2025, 6, 30)
    assert all(dt.date(2025, 1, 1) <= day <= dt.date(2025, 6, 30) for day in days)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.sampled_from(["uniform", "normal"]))
def test_floats_stay_between_their_ends(low: float, width: float, distribution: Any) -> None:
    values = draw(Spec(number=(low, low + width), distribution=distribution), 20)
    assert all(low <= v <= low + width for v in values)


def test_normal_gathers_around_its_mean() -> None:
    spec = Spec(integer=(0, 1000), distribution="normal", mean=200, deviation=50)
    values = draw(spec, 4_000)
    assert np.mean(values) == pytest.approx(200, abs=4)
    assert np.std(values) == pytest.approx(50, abs=4)


@given(st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2030, 1, 1)), st.integers(0, 10**14))
def test_timestamps_stay_between_their_ends_and_keep_their_offset(
    first: dt.datetime, width_us: int
) -> None:
    ends = (first.replace(tzinfo=UTC), (first + dt.timedelta(microseconds=width_us)))
    ends = (ends[0], ends[1].replace(tzinfo=UTC))
    assert all(ends[0] <= v <= ends[1] and v.tzinfo for v in draw(Spec(timestamp=ends), 20))


def test_choices_come_in_the_shares_of_their_weights() -> None:
    counted = Counter(draw(Spec(choice=("a", "b", "c"), weights=(8, 2, 0)), 10_000))
    assert counted["a"] / 10_000 == pytest.approx(0.8, abs=0.02)
    assert counted["c"] == 0


@given(st.text(alphabet="#@-\\aZ9é%", min_size=1, max_size=12))
def test_a_pattern_is_filled_character_by_character(pattern: str) -> None:
    wanted = "".join(
        {"#": "[0-9]", "@": "[a-z]"}.get(part, re.escape(part[-1]))
        for part in re.findall(r"\\.|.", pattern)
    )
    assert re.fullmatch(wanted, draw(Spec(pattern=pattern), 1)[0])


def test_nulls_come_in_their_share() -> None:
    values = draw(Spec(integer=(1, 9), null_share=0.25), 10_000)
    assert values.count(None) / 10_000 == pytest.approx(0.25, abs=0.02)


def test_arrays_have_as_many_elements_as_asked_for() -> None:
    lengths = {len(v) for v in draw(Spec(integer=(1, 9), array=(2, 4)), 200)}
    assert lengths == {2, 3, 4}
    assert {len(v) for v in draw(Spec(boolean=0.5, array=3), 20)} == {3}


def test_values_drawn_from_the_data_are_its_own() -> None:
    pool = ("x", "y", "z")
    assert set(draw(Spec(sql="SELECT 1"), 100, drawn=pool)) == set(pool)
    skewed = draw(Spec(sql="SELECT 1", distribution="zipf", skew=3), 300, drawn=pool)
    assert Counter(skewed).most_common(1)[0][0] == "x"


def test_the_seed_decides_every_kind() -> None:
    for spec in KINDS.values():
        assert draw(spec, 10, seed=5) == draw(spec, 10, seed=5)


KINDS = {
    "bigint": Spec(integer=(-5, 5)),
    "double precision": Spec(number=(0.5, 1.5)),
    "date": Spec(date=(dt.date(2025, 1, 1), dt.date(2025, 2, 1))),
    "timestamptz": Spec(
        timestamp=(dt.datetime(2025, 1, 1, tzinfo=UTC), dt.datetime(2025, 2, 1, tzinfo=UTC))
    ),
    "timestamp": Spec(timestamp=(dt.datetime(2025, 1, 1), dt.datetime(2025, 2, 1))),
    "text": Spec(pattern="AB-###"),
    "varchar": Spec(choice=("a", "b")),
    "uuid": Spec(uuid=True),
    "boolean": Spec(boolean=0.5),
    "bigint[]": Spec(integer=(1, 9), array=3),
    "text[]": Spec(choice=("a", "b"), array=(0, 3), null_share=0.3),
    "date[]": Spec(date=(dt.date(2025, 1, 1), dt.date(2025, 2, 1)), array=2),
}


@pytest.mark.parametrize("type_", KINDS)
def test_postgresql_takes_the_values_as_a_column_of_the_type(type_: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f"CREATE TABLE t (v {type_})".encode())
    with Session(database) as session:
        for value in draw(KINDS[type_], 10):
            session.write("INSERT INTO t (v) VALUES (%(v)s)", {"v": value})
            found = session.conn.execute("SELECT v FROM t").fetchall()
            assert found == [(value,)]
            assert session.run("SELECT 1 FROM t WHERE v = %(v)s", {"v": value}) == 1
            session.write("DELETE FROM t", {})


@pytest.mark.parametrize(
    ("given_", "key"),
    [
        ({}, ""),
        ({"integer": [1, 2], "uuid": True}, ""),
        ({"integer": [2, 1]}, "integer"),
        ({"integer": [0, 2**63]}, "integer"),
        ({"float": [0, float("inf")]}, "float"),
        ({"float": [0.0, 1.0], "distribution": "zipf"}, "distribution"),
        ({"uuid": False}, "uuid"),
        ({"pattern": ""}, "pattern"),
        ({"boolean": 1.5}, "boolean"),
        ({"integer": [1, 2], "weights": [1, 2]}, "weights"),
        ({"choice": [1, 2], "weights": [0, 0]}, "weights"),
        ({"choice": [[1], 2]}, "choice"),
        ({"integer": [1, 2], "mean": 1.0}, "mean"),
        ({"integer": [1, 2], "distribution": "normal", "deviation": 0.0}, "deviation"),
        ({"integer": [1, 2], "distribution": "zipf", "skew": 0.0}, "skew"),
        ({"integer": [1, 2], "array": -1}, "array"),
    ],
)
def test_what_cannot_work_is_refused_by_its_key(given_: dict[str, object], key: str) -> None:
    with pytest.raises(Unusable) as caught:
        check(msgspec.convert(given_, Spec))
    assert caught.value.key == key
