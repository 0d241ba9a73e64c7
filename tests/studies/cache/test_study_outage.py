"""Redis goes away under load: a server of the lab's is killed, another is cut off by a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

import msgspec
import pytest
import redis

from perflab.cache import QUERY, Answer, RedisTier, TieredCache
from perflab.report.not_run import NotRun
from perflab.services import Redis, open_services
from perflab.services.proxy import Proxy
from perflab.studies.cache import outage
from perflab.studies.cache.outage import RECOVERY_S, Outage, survive_outage
from perflab.studies.outages import CUT, RESTARTED, through
from redis_outages import foreign

AWAY_S = 0.3
KINDS = {"memory", "Redis", "source"}


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    with open_services("embedded", only=["redis"]) as opened:
        yield opened.redis


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Away for a shorter time, and patient afterwards: the breaker looks once a second.

    A lease whose answer is cut off holds up others until it ends, so it is a short one. What the
    tier waits for an answer is generous, since a slow machine is not an outage.
    """
    monkeypatch.setattr(outage, "RedisTier", partial(RedisTier, budget_s=0.2))
    policy = msgspec.structs.replace(QUERY, hard_timeout_s=0.3)
    monkeypatch.setattr(outage, "QUERY", policy)
    monkeypatch.setattr(outage, "BEFORE_S", 0.4)
    monkeypatch.setattr(outage, "AWAY_S", AWAY_S)
    monkeypatch.setattr(outage, "AFTER_S", 2.2)
    monkeypatch.setattr(outage, "CLIENTS", 6)
    monkeypatch.setattr(outage, "KEYS", 60)


def check(found: Outage) -> None:
    """Nobody fails, the source answers while Redis is away, and Redis does again."""
    start, end = found.away
    calls = found.calls
    assert found.failed == 0
    assert set(calls["kind"]) <= KINDS
    assert list(calls.columns) == ["at_s", "ms", "kind"]
    assert (calls["ms"] >= 0).all()
    before, away, after = (
        set(calls[calls["at_s"].between(*part)]["kind"])
        for part in ((0.0, start), (start, end), (end, calls["at_s"].max()))
    )
    assert before == KINDS
    assert "source" in away
    assert after == KINDS
    assert found.recovered_s is not None
    assert 0 <= found.recovered_s <= RECOVERY_S
    first = calls[(calls["kind"] == "Redis") & (calls["at_s"] >= end)]["at_s"].min()
    assert found.recovered_s == pytest.approx(first - end)
    assert found.stats is not None
    assert found.stats.breaker_opened >= 1
    assert found.stats.unavailable > 0


def test_the_labs_own_server_is_killed_and_nobody_fails(server: Redis) -> None:
    with redis.Redis.from_url(server.url()) as client:
        client.set("before", 1)
        found = survive_outage(server)
        assert not client.exists("before"), "it came back empty"
    assert isinstance(found, Outage)
    assert found.cause == RESTARTED
    check(found)


def test_another_server_is_cut_off_by_a_proxy_and_never_stops(server: Redis) -> None:
    with redis.Redis.from_url(server.url()) as client:
        client.set("before", 1)
        process = client.info("server")["run_id"]
        found = survive_outage(foreign(server))
        assert client.info("server")["run_id"] == process
        assert client.exists("before")
    assert isinstance(found, Outage)
    assert found.cause == CUT
    assert found.away[1] - found.away[0] >= AWAY_S
    check(found)


def test_a_request_that_fails_is_counted_and_not_shown_as_answered(
    server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(TieredCache):
        async def trace(self, key: str, *args: object, **names: object) -> Answer:
            if key == "key:0":
                raise OSError("away")
            return await super().trace(key, *args, **names)  # type: ignore[arg-type]

    monkeypatch.setattr(outage, "TieredCache", Failing)
    monkeypatch.setattr(outage, "KEYS", 2)
    monkeypatch.setattr(outage, "BEFORE_S", 0.1)
    monkeypatch.setattr(outage, "AFTER_S", 0.0)
    found = survive_outage(foreign(server))
    assert isinstance(found, Outage)
    assert found.failed > 0
    assert len(found.calls) > 0


def test_where_redis_does_not_come_back_within_the_run_there_is_no_time_for_it(
    server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "BEFORE_S", 0.05)
    monkeypatch.setattr(outage, "AFTER_S", 0.0)
    found = survive_outage(foreign(server))
    assert isinstance(found, Outage)
    assert found.recovered_s is None


def test_a_proxy_is_not_put_before_a_server_whose_certificate_is_checked(server: Redis) -> None:
    url = server.url().replace("redis://", "rediss://")
    address = msgspec.structs.replace(foreign(server).address, given=url)
    found = survive_outage(Redis(address, None))
    assert isinstance(found, NotRun)
    assert "rediss://" in repr(found)
    assert server.address.password not in repr(found)


@pytest.mark.parametrize(
    "url", ["redis://u:p%40:x@host:1/3?a=b", "redis://host", "redis://:secret@[::1]:6379/0"]
)
def test_the_way_through_the_proxy_keeps_user_password_and_database(url: str) -> None:
    with Proxy("127.0.0.1", 1) as proxy:
        led = urlsplit(through(urlsplit(url), proxy))
        given = urlsplit(url)
        assert (led.hostname, led.port) == (proxy.host, proxy.port)
    assert (led.username, led.password) == (given.username, given.password)
    assert (led.path, led.query) == (given.path, given.query)
