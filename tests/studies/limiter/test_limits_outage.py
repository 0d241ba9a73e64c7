"""Each failure mode through one outage: a server that is killed, another that is cut off."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pandas as pd
import pytest
import redis

from perflab.report.not_run import NotRun
from perflab.services import Redis, open_services
from perflab.studies import limits
from perflab.studies.limits import outage
from perflab.studies.limits.outage import (
    ASKED_RPS,
    CLOSED,
    LIMIT_RPS,
    LOCAL,
    LOCAL_TWICE,
    MODES,
    OPEN,
    RECOVERY_S,
    LimiterOutage,
)
from perflab.studies.outages import CUT, RESTARTED
from redis_outages import foreign


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    with open_services("embedded", only=["redis"]) as opened:
        yield opened.redis


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Away for a shorter time, and a budget that a busy machine does not exhaust."""
    monkeypatch.setattr(outage, "BUDGET_S", 0.5)
    monkeypatch.setattr(outage, "BEFORE_S", 0.4)
    monkeypatch.setattr(outage, "AWAY_S", 0.5)
    monkeypatch.setattr(outage, "AFTER_S", 2.0)


def check(found: LimiterOutage | NotRun) -> None:
    """No check fails, each mode does what it says, and Redis decides again."""
    assert isinstance(found, LimiterOutage)
    assert found.failed == 0
    assert found.recovered_s is not None
    assert 0 <= found.recovered_s <= RECOVERY_S
    frame = found.frame().set_index("mode")
    assert list(frame.index) == list(MODES)
    assert found.checks.groupby("mode").size().gt(ASKED_RPS / 10).all()
    denied, unavailable = (dict(frame[name]) for name in ("away_429", "away_503"))
    assert frame["away_per_s"].to_dict()[CLOSED] == 0
    assert unavailable[CLOSED] > 0
    assert denied[CLOSED] == denied[OPEN] == unavailable[OPEN] == 0
    assert unavailable[LOCAL] == unavailable[LOCAL_TWICE] == 0
    assert denied[LOCAL] > denied[LOCAL_TWICE] > 0, "two processes let through twice as much"
    table, figure = limits.outage_table(found), limits.outage_plot(found)
    assert not isinstance(table, NotRun)
    assert "no check raised an error" in table.title
    assert not isinstance(figure, NotRun)
    assert "s after it is back" in figure.axes[0].get_title(loc="left")


@pytest.mark.serial
@pytest.mark.usefixtures("short")
def test_the_labs_own_server_is_killed_and_each_policy_fails_its_own_way(server: Redis) -> None:
    with redis.Redis.from_url(server.url()) as client:
        client.set("before", 1)
        found = limits.survive_outage(server)
        assert not client.exists("before"), "it came back empty"
    assert isinstance(found, LimiterOutage)
    assert found.cause == RESTARTED
    check(found)


@pytest.mark.usefixtures("short")
def test_another_server_is_cut_off_and_never_stops(server: Redis) -> None:
    with redis.Redis.from_url(server.url()) as client:
        process = client.info("server")["run_id"]
        found = limits.survive_outage(foreign(server))
        assert client.info("server")["run_id"] == process
    assert isinstance(found, LimiterOutage)
    assert found.cause == CUT
    check(found)


def test_a_server_whose_certificate_is_checked_is_left_alone(server: Redis) -> None:
    url = server.url().replace("redis://", "rediss://")
    address = msgspec.structs.replace(foreign(server).address, given=url)
    found = limits.survive_outage(Redis(address, None))
    assert isinstance(found, NotRun)
    assert "rediss://" in repr(found)
    assert server.address.password not in repr(found)
    assert isinstance(limits.outage_table(found), NotRun)


def test_what_did_not_come_back_has_no_time_and_says_so() -> None:
    checks = pd.DataFrame(
        [
            (mode, second / 10, 1.0, "passed" if second < 8 else "503", second < 8)
            for mode in MODES
            for second in range(20)
        ],
        columns=["mode", "at_s", "ms", "answer", "by_redis"],
    )
    found = LimiterOutage(CUT, checks, (0.75, 1.2), 3, None)
    assert found.frame()["again_s"].isna().all()
    table, figure = limits.outage_table(found), limits.outage_plot(found)
    assert not isinstance(table, NotRun)
    assert "3 check" in table.title
    assert not isinstance(figure, NotRun)
    assert "did not decide again" in figure.axes[0].get_title(loc="left")
    rates = found.rates()
    assert rates[rates["at_s"] < 0.7]["per_s"].gt(0).all()
    assert rates[rates["at_s"] > 0.9]["per_s"].eq(0).all()


def test_the_quota_is_smaller_than_what_is_asked() -> None:
    assert 2 * LIMIT_RPS < ASKED_RPS, "else two local limiters would look like an open policy"
