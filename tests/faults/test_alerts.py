"""Faults of the lab's processes raise their alerts within five seconds, and no others."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import psycopg
import pytest

from api.support import PASSWORD, START, create_database, settings_for
from event_loop import PATIENCE_S, own_prefix, run, until
from monitor.catalogue import families, full_name
from perflab.api.credentials import set_password
from perflab.monitor import MetricsRegistry
from perflab.monitor.alerts import AlertEngine, Target, Transition, Watch, load_rules
from perflab.monitor.alerts.scraping import read_samples, scrape
from perflab.paths import data_dir
from perflab.ratelimit import DEFAULT_POLICIES
from perflab.realtime.hub.apart import HubProcess
from perflab.realtime.hub.process import HubOrder
from perflab.schema.seed import create_schema
from perflab.services import Redis, Services
from perflab.services.ports import free_ports
from perflab.studies.api import served
from perflab.studies.api.served import Orders
from perflab.studies.child import Child
from redis_outages import kill

from .realtime_support import frame, stage

RAISED_S = 5.0
"""What is promised."""
QUIET_S = 2.0
EVERY_S = 0.25
STALL_S = 0.6
RATE_PER_S = 50
RULES = load_rules(data_dir() / "alerts.toml")
Told = set[tuple[str, str]]
"""Rules and jobs."""


@pytest.fixture
def api(own_services: Services) -> Iterator[int]:
    """The port of an API in a process of its own."""
    postgres, redis = own_services.postgres, own_services.redis
    create_database(postgres.conninfo(), "alerts")
    conninfo = postgres.conninfo("alerts")
    with psycopg.connect(conninfo) as conn:
        create_schema(conn)
        conn.execute("INSERT INTO users VALUES (1, 'a@b.c', 'Ada', 'free', '2025-01-01+00')")
    set_password(conninfo, 1, PASSWORD)
    roomy = tuple(
        msgspec.structs.replace(one, limit=100_000, algorithm="gcra") for one in DEFAULT_POLICIES
    )
    settings = settings_for(
        conninfo, redis.url(), policies=roomy, cache_budget_s=0.1, limiter_budget_s=0.1
    )
    orders = Orders(settings=settings, behind_s=time.time() - START)
    with Child(Path(served.__file__)) as child:
        child.say(msgspec.json.encode(orders).decode())
        yield int(child.hear())


@contextmanager
def asked(port: int) -> Iterator[None]:
    """Somebody signed in asks for pages, most of which no cache holds."""
    over = threading.Event()
    base = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=base, timeout=PATIENCE_S) as client:
        answer = client.post("/auth/login", json={"email": "a@b.c", "password": PASSWORD})
        fields = {"authorization": f"Bearer {answer.json()['token']}"}

        def ask() -> None:
            number = 0
            while not over.wait(1 / RATE_PER_S):
                number += 1
                client.get(f"/tasks?limit={number % 50 + 1}", headers=fields)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def fired(watch: Watch) -> Told:
    return {told(one) for one in watch.transitions if one.after == "firing"}


def resolved(watch: Watch) -> Told:
    return {told(one) for one in watch.transitions if one.resolved}


def told(change: Transition) -> tuple[str, str]:
    return change.rule.name, dict(change.labels)["job"]


def wait_for(found: Callable[[], Told], expected: Told, within_s: float) -> None:
    ends_at = time.monotonic() + within_s
    while not found() >= expected:
        assert time.monotonic() < ends_at, f"{expected - found()} missing after {within_s} s"
        time.sleep(0.02)


def fired_after_stall(watch: Watch, pid: int) -> Told:
    """What has fired once a process stood still for a moment, and went on for another."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STALL_S)
    os.kill(pid, signal.SIGCONT)
    time.sleep(2 * EVERY_S)
    return fired(watch)


@pytest.mark.serial
def test_quiet_then_faults_that_raise_their_alerts_and_clear_them(
    own_services: Services, api: int, redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    ports = [port for _, port in zip("ab", free_ports(), strict=False)]
    doomed, stopped = (
        HubProcess(
            HubOrder(redis=redis_server.url(), secret="s" * 40, prefix=own_prefix(), metrics_port=p)
        )
        for p in ports
    )
    caplog.set_level(logging.INFO, "perflab.alerts")
    with asked(api), doomed, stopped:
        urls = {
            "api": f"http://127.0.0.1:{api}/metrics",
            "doomed": f"http://127.0.0.1:{ports[0]}/metrics",
            "stopped": f"http://127.0.0.1:{ports[1]}",
        }
        targets = [Target(job, url) for job, url in urls.items()]
        with Watch(AlertEngine(RULES), targets, every_s=EVERY_S) as watch:
            time.sleep(QUIET_S)
            # a cache that starts empty has few hits at first, which is no alert yet
            early = {("CacheHitRatioLow", "pending"), ("CacheHitRatioLow", "inactive")}
            seen = {(one.rule.name, one.after) for one in watch.transitions}
            assert seen <= early, "a quiet run"
            told = {sample.metric for sample in scrape(targets[1], RAISED_S) or ()}
            plain = [family for family in families("Hub") if family.kind != "histogram"]
            assert {full_name(family) for family in plain} <= told

            raised = {
                ("CacheBreakerOpen", "api"),
                ("LimiterWithoutRedis", "api"),
                ("DatabaseUnsteady", "api"),
                ("ProcessDown", "doomed"),
                ("ProcessDown", "stopped"),
            }
            os.kill(doomed.pid, signal.SIGKILL)
            os.kill(stopped.pid, signal.SIGSTOP)
            kill(own_services.redis)
            own_services.postgres.restart("immediate")
            wait_for(lambda: fired(watch), raised, RAISED_S)
            os.kill(stopped.pid, signal.SIGCONT)
            own_services.redis.restart()
            # the stop may have outlasted the window of the rule, which then has nothing to compare
            lags = {("EventLoopLag", "stopped")}
            wait_for(lambda: fired_after_stall(watch, stopped.pid), lags, RAISED_S)
            raised |= lags
            cleared = raised - {("ProcessDown", "doomed")}
            wait_for(lambda: resolved(watch), cleared, 3 * RAISED_S)
            # who had to wait for the restart is in the next seconds' percentiles
            waited = {("PoolExhausted", "api"), ("SlowAnswers", "api")}
            waited.add(("CacheHitRatioLow", "api"))  # Redis came back late, and empty
            assert fired(watch) - waited == raised, "no other alert"
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any(text.startswith("ProcessDown firing (instance=127.0.0.1:") for text in said)


SUBSCRIBE = b'{"type":"subscribe","id":1,"channel":"hot"}'


def test_slow_consumers_raise_the_hubs_alerts(redis_server: Redis) -> None:
    """The hub is real; the engine's clock is the test's, so nothing has to be waited for."""

    async def scenario() -> None:
        now_s = 0.0
        engine = AlertEngine(RULES, clock=lambda: now_s)
        registry = MetricsRegistry(process=False)
        names: set[str] = set()

        def look() -> None:
            nonlocal now_s
            now_s += 0.5
            engine.enter("hub", "here", read_samples(registry.render()[0].decode()))
            names.update(one.rule.name for one in engine.evaluate() if one.after == "firing")

        async with stage(redis_server, queue_limit=100, stall_s=0.3) as scene:
            registry.register("hub", scene.hub.stats)
            for _ in range(5):
                await scene.is_alive()
                look()
            assert names == set()
            raw = await scene.raw(receive_bytes=4_096)
            raw.writer.write(frame(SUBSCRIBE))
            await until(lambda: scene.hub.stats().subscriptions == 2)
            body = b'"' + b"x" * 8_000 + b'"'
            queued = 0
            while not scene.hub.stats().slow:
                queued = max(queued, scene.hub.stats().queued)
                await asyncio.gather(*(scene.log.publish("hot", body) for _ in range(100)))
            await until(lambda: scene.hub.stats().connections == 1)
            look()
            assert names == {"HubDropsMessages", "HubClosesSlowConsumers"}
            assert 0 < queued <= 100
            for _ in range(10):
                look()
            assert engine.alerts == ()
            await raw.close()

    run(scenario())
