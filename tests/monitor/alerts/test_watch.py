"""Scraping, watching and telling: what is away is down, and nobody is held up."""

from __future__ import annotations

import http.server
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from perflab.monitor import MetricsRegistry, MonitorError, gauges, served_from_thread
from perflab.monitor.alerts import AlertEngine, Rule, Target, Transition, Watch, Webhook
from perflab.monitor.alerts.expressions import Seconds, Value
from perflab.monitor.alerts.scraping import scrape
from perflab.monitor.alerts.webhook import VARIABLE

SECRET = "T0P/secret-token"
PATIENCE_S = 20.0
CUT_OFF = b"(and no more)"


class Level(msgspec.Struct):
    full: float = 0.0


def rule(metric: str = "perflab_tank_full") -> Rule:
    return Rule(
        name="TankFull",
        when=Value(metric=metric),
        comparison=">",
        threshold=0.5,
        for_s=Seconds(lab=0, production=0),
        severity="critical",
        hint="Open the valve.",
    )


def change(after: str = "firing", before: str = "pending") -> Transition:
    return Transition(
        rule=rule(),
        labels=(("instance", "a:1"), ("job", "tank")),
        before=before,  # type: ignore[arg-type]
        after=after,  # type: ignore[arg-type]
        at_s=1_000.5,
        since_s=1_000.0,
        value=0.75,
    )


def wait_for(watch: Watch, count: int) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while len(watch.transitions) < count:
        assert time.monotonic() < ends_at
        time.sleep(0.005)


@contextmanager
def raw_server(answer: bytes | None) -> Iterator[str]:
    """Answers every connection with these bytes and leaves it open; None: with nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if answer is not None:
                    connection.sendall(answer.removesuffix(CUT_OFF))
                    if answer.endswith(CUT_OFF):
                        connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/metrics"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


def test_an_alert_fires_and_resolves_over_http_and_from_a_registry() -> None:
    level, registry = Level(), MetricsRegistry(process=False)
    registry.register("tank", lambda: level, shape=gauges("full"))
    told: list[Transition] = []
    with served_from_thread(registry) as url:
        targets = [Target("far", url), Target("near", registry)]
        with Watch(AlertEngine([rule()]), targets, every_s=0.02, tell=[told.append]) as watch:
            level.full = 1.0
            wait_for(watch, 2)
            level.full = 0.0
            wait_for(watch, 4)
    assert told == list(watch.transitions)
    assert {(dict(one.labels)["job"], one.after) for one in told[:2]} == {
        ("far", "firing"),
        ("near", "firing"),
    }
    assert all(one.resolved for one in told[2:])


def test_one_process_that_hangs_is_down_and_the_others_are_not_late() -> None:
    level, registry = Level(1.0), MetricsRegistry(process=False)
    registry.register("tank", lambda: level, shape=gauges("full"))
    down = msgspec.structs.replace(rule("up"), name="Down", comparison="<")
    with raw_server(None) as url:
        targets = [Target("hangs", url), Target("near", registry)]
        with Watch(AlertEngine([rule(), down]), targets, every_s=0.1) as watch:
            wait_for(watch, 2)
    assert {(one.rule.name, dict(one.labels)["job"]) for one in watch.transitions} == {
        ("TankFull", "near"),
        ("Down", "hangs"),
    }


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n}{}{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xff",
        b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nup 1\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nup 1\n" + CUT_OFF,
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
def test_what_tells_no_figures_is_down(answer: bytes) -> None:
    with raw_server(answer) as url:
        assert scrape(Target("odd", url), 0.1) is None


def test_what_cannot_be_watched_is_named_and_no_password_is_repeated() -> None:
    for url in ("ftp://a/metrics", f"http://user:{SECRET}@a/metrics", "http://[/", "a:1", ""):
        with pytest.raises(MonitorError, match="http://host:port/metrics") as caught:
            Watch(AlertEngine([rule()]), [Target("api", url)])
        assert SECRET not in str(caught.value)
    assert [Target("api", url).instance for url in ("https://a", "http://a/x", "http://a:1")] == [
        "a:443",
        "a:80",
        "a:1",
    ]
    with pytest.raises(MonitorError, match="api a:1 is to be watched twice"):
        Watch(AlertEngine([rule()]), [Target("api", "http://a:1"), Target("api", "http://a:1/x")])


def test_a_defect_of_a_receiver_is_raised_where_the_watch_ends() -> None:
    registry = MetricsRegistry(process=False)
    registry.register("tank", lambda: Level(1.0), shape=gauges("full"))

    def tell(_: Transition) -> None:
        raise RuntimeError("no bell")

    with (
        pytest.raises(RuntimeError, match="no bell"),
        Watch(AlertEngine([rule()]), [Target("near", registry)], tell=[tell]) as watch,
    ):
        watch.wait()


class Receiver(http.server.BaseHTTPRequestHandler):
    said: list[tuple[str, dict[str, object]]]
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.said.append((self.path, json.loads(body)))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiver(status: int = 200) -> Iterator[tuple[str, list[tuple[str, dict[str, object]]]]]:
    said: list[tuple[str, dict[str, object]]] = []
    handler = type("Told", (Receiver,), {"said": said, "status": status})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{SECRET}?key=1", said
        server.shutdown()
        thread.join()


def test_the_webhook_is_told_what_fires_and_resolves_as_alertmanager_would_tell_it() -> None:
    with receiver() as (url, said), Webhook({VARIABLE: url}) as webhook:
        for one in (change("pending", "inactive"), change(), change("inactive", "firing")):
            webhook.tell(one)
    assert webhook.stats().sent == 2
    assert [path for path, _ in said] == [f"/{SECRET}?key=1"] * 2
    fired, over = (body for _, body in said)
    assert fired == {
        "version": "4",
        "receiver": "perflab",
        "status": "firing",
        "alerts": [
            {
                "status": "firing",
                "labels": {
                    "alertname": "TankFull",
                    "severity": "critical",
                    "instance": "a:1",
                    "job": "tank",
                },
                "annotations": {"hint": "Open the valve.", "value": "0.75"},
                "startsAt": "1970-01-01T00:16:40Z",
                "endsAt": "0001-01-01T00:00:00Z",
            }
        ],
    }
    assert over["status"] == "resolved"
    assert "1970-01-01T00:16:40.500000Z" in json.dumps(over)


def test_a_webhook_that_hangs_costs_notices_and_no_time(caplog: pytest.LogCaptureFixture) -> None:
    with raw_server(None) as url, caplog.at_level(logging.DEBUG):
        with Webhook({VARIABLE: f"{url}/{SECRET}"}, timeout_s=0.2, waiting=3) as webhook:
            began = time.monotonic()
            for _ in range(1_000):
                webhook.tell(change())
            assert time.monotonic() - began < 0.2
            assert webhook.stats().dropped >= 1_000 - 3 - 1
        assert time.monotonic() - began < 5
    assert webhook.stats().sent == 0
    assert webhook.stats().failed >= 1
    assert caplog.records
    assert SECRET not in caplog.text
    assert SECRET not in repr(webhook)


def test_a_webhook_that_refuses_or_is_no_address_is_told_apart_without_its_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with receiver(403) as (url, _), Webhook({VARIABLE: url}) as webhook:
        webhook.tell(change())
    assert webhook.stats().failed == 1
    for bad in ("", SECRET, f"ftp://{SECRET}", f"http://[{SECRET}", f"http:///{SECRET}"):
        with pytest.raises(MonitorError, match=f"set {VARIABLE} to") as caught:
            Webhook({VARIABLE: bad} if bad else {})
        assert SECRET not in str(caught.value)
    assert SECRET not in caplog.text
