"""The worst cases by measurement, the recount by hand, and what makes either of them refuse."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perflab.ratelimit import AUTH, Policy, RateLimiter
from perflab.ratelimit.policies import US
from perflab.services import Redis
from perflab.studies import limits
from perflab.studies.limits import exactness
from perflab.studies.limits.admission import Admission, most_within
from perflab.studies.limits.exactness import CROWD, TRAFFIC, Recount, recount
from perflab.studies.limits.lapse import Undecided, decide_at, each_algorithm

FIVE_IN_TEN = Policy(name="x", limit=5, period_s=10)


def at_seconds(*seconds: float) -> Any:
    return np.array([round(one * US) for one in seconds], np.int64)


@pytest.fixture(scope="module")
def admission(redis_server: Redis) -> Admission:
    return limits.measure_admission(redis_server)


def test_the_worst_case_table_of_a_quota_of_ten_in_a_quarter_of_an_hour(
    admission: Admission,
) -> None:
    frame = admission.frame().set_index("algorithm")
    assert dict(frame["window"]) == {
        "gcra": 19,
        "sliding_log": 10,
        "sliding_counter": 20,
        "fixed_window": 20,
    }
    assert dict(frame["at_once"]) == {
        "gcra": 10,
        "sliding_log": 10,
        "sliding_counter": 10,
        "fixed_window": 20,
    }
    assert (frame["window"] == frame["promised"]).all(), "as bad as derived, and no worse"


def test_the_finding_is_the_title_and_the_plot_starts_and_ends_with_the_run(
    admission: Admission,
) -> None:
    assert "only sliding_log admits no more" in limits.admission_table(admission).title
    (axes,) = limits.admission_plot(admission).axes
    assert "fixed_window admits 20 at once where 10 are allowed" in axes.get_title(loc="left")
    curves = admission.curves()
    assert dict(curves.groupby("algorithm")["units"].max()) == {
        "gcra": 19,
        "sliding_log": 10,
        "sliding_counter": 20,
        "fixed_window": 20,
    }
    assert (curves["units"] >= 0).all()
    assert curves["minutes"].between(-1, 30).all()


def test_another_quota_is_measured_the_same_way(redis_server: Redis) -> None:
    frame = limits.measure_admission(redis_server, Policy(name="x", limit=3, period_s=7)).frame()
    assert list(frame["window"]) == list(frame["promised"]) == [5, 3, 6, 6]


@pytest.mark.parametrize(
    ("seconds", "most"),
    [([], 0), ([5], 1), ([0, 9.999999], 2), ([0, 10], 1), ([0, 1, 10, 10.5, 11.5, 30], 3)],
)
def test_a_window_is_half_open(seconds: list[float], most: int) -> None:
    assert most_within(at_seconds(*seconds), 10 * US) == most


def test_a_recount_knows_what_an_exact_limit_would_have_said() -> None:
    times = at_seconds(0, 0, 0, 0, 0, 1, 9, 10, 10)
    passed = [True, True, True, True, False, True, True, False, True]
    # at 0: four pass, the fifth is refused though it had room; at 1 it is full; at 9 over;
    # at 10 those of 0 count no more: two are left, one is refused for nothing, one passes
    found = recount([int(one) for one in times], passed, FIVE_IN_TEN)
    assert found == Recount(asked=9, admitted=7, over=1, needless=2, worst=6)


def test_the_exact_log_is_never_wrong_and_every_other_algorithm_is_found_out(
    redis_server: Redis,
) -> None:
    frame = limits.measure_over_admission(redis_server, seed=7)
    assert list(frame["traffic"].unique()) == [*TRAFFIC, CROWD]
    assert (frame["asked"] > 0).all()
    log = frame[frame["algorithm"] == "sliding_log"]
    assert not log[["over", "needless"]].any(axis=None)
    assert (log["worst"] <= exactness.LIMIT).all()
    lapse = frame[frame["traffic"] != CROWD].groupby("algorithm")["over"].sum()
    assert (lapse.drop("sliding_log") > 0).all()
    crowd = frame[frame["traffic"] == CROWD]
    assert list(crowd["admitted"]) == [exactness.LIMIT] * 4, "to the unit, whoever asks"
    table = limits.over_admission_table(frame)
    assert "sliding_log over-admits nothing" in table.title
    assert len(table.shown) == len(frame)


def test_the_same_seed_is_the_same_traffic() -> None:
    for arrivals in TRAFFIC.values():
        one, two = (arrivals(np.random.default_rng(3)) for _ in range(2))
        assert list(one) == list(two)


def test_what_redis_did_not_decide_is_not_shown() -> None:
    async def scenario() -> None:
        policies = each_algorithm(5, 10)
        async with RateLimiter("redis://127.0.0.1:1", policies) as limiter:
            await decide_at(limiter, "gcra", [1_700_000_000 * US])

    with pytest.raises(Undecided, match="run the cell again"):
        asyncio.run(scenario())


def test_the_quota_measured_is_that_of_logins(admission: Admission) -> None:
    assert {(one.limit, one.period_s) for one in admission.policies} == {
        (AUTH.limit, AUTH.period_s)
    }


def test_tables_can_be_written_with_the_mark_of_the_time_lapse(
    admission: Admission, tmp_path: Path
) -> None:
    limits.admission_table(admission).write(tmp_path / "t")
    assert "Time lapse" in (tmp_path / "t.md").read_text()
