"""The lab's nginx on every rung that has one: served, restarted, crashed, purged, ended."""

from __future__ import annotations

import http.client
import http.server
import itertools
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from perflab.services import Nginx, ServiceError, Services, lacks, open_services
from perflab.services.account import server_account
from perflab.services.addresses import Rung
from perflab.services.nginx import NginxServer
from perflab.services.ports import ephemeral_bound, free_ports
from perflab.services.warden import NGINX_NAMES, inhabitants

PAST = "Thu, 01 Jan 1970 00:00:00 GMT"


@pytest.fixture(
    scope="module",
    params=["embedded", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow])],
)
def rung(request: pytest.FixtureRequest) -> Rung:
    if request.param == "docker":
        request.getfixturevalue("docker_images")
    found: Rung = request.param
    return found


@pytest.fixture(scope="module")
def opened(rung: Rung) -> Iterator[Services]:
    with open_services(rung, only=["edge"]) as services:
        yield services


@pytest.fixture
def edge(opened: Services) -> Nginx:
    """An nginx in whatever state the test before left it."""
    return opened.edge


@pytest.fixture
def serving(edge: Nginx) -> Nginx:
    """An nginx that answers 204."""
    edge.serve(answering(edge, 204))
    return edge


def answering(edge: Nginx, status: int) -> str:
    return f"server {{ listen {edge.host}:{edge.port}; return {status}; }}"


def get(edge: Nginx, path: str = "/") -> http.client.HTTPResponse:
    conn = http.client.HTTPConnection(edge.host, edge.port, timeout=30)
    try:
        conn.request("GET", path)
        return conn.getresponse()
    finally:
        conn.close()


def control(edge: Nginx) -> NginxServer:
    assert isinstance(edge.control, NginxServer)
    return edge.control


def processes(edge: Nginx) -> list[psutil.Process]:
    """Of a container, too: this machine sees them."""
    return [psutil.Process(pid) for pid in inhabitants(control(edge).site.home, NGINX_NAMES)]


def assert_down(edge: Nginx) -> None:
    assert processes(edge) == []
    with pytest.raises(ConnectionRefusedError):
        get(edge)


def test_is_what_was_asked_for_and_says_its_version(rung: Rung, opened: Services) -> None:
    edge = opened.edge
    assert (edge.rung, edge.owned) == (rung, True)
    assert opened.notes[0].startswith(f"edge: {rung} (")
    assert len(opened.notes) == 1
    edge.serve(answering(edge, 204).replace("return", "server_tokens on; return"))
    assert get(edge).getheader("server") == f"nginx/{edge.version}"
    assert repr(edge) == f"<Nginx {edge.version} ({rung}) on 127.0.0.1:{edge.port}>"
    assert edge.url() == f"http://127.0.0.1:{edge.port}"
    with pytest.raises(ServiceError, match="opened without PostgreSQL"):
        _ = opened.postgres


def test_answers_503_until_it_is_told_what_to_serve_and_nothing_once_it_is_closed(
    rung: Rung,
) -> None:
    services = open_services(rung, only=["edge"])
    edge = services.edge
    home = services.share().parent
    assert get(edge).status == 503
    services.close()
    services.close()
    assert not home.exists()
    assert_down(edge)
    for act in (edge.restart, edge.stop, lambda: edge.serve(answering(edge, 204))):
        with pytest.raises(ServiceError, match="has ended; open services again"):
            act()


def test_listens_on_the_loopback_interface_only_below_the_ports_of_outgoing_connections(
    serving: Nginx,
) -> None:
    listening = {
        (conn.laddr.ip, conn.laddr.port)
        for process in processes(serving)
        for conn in process.net_connections("tcp")
        if conn.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", serving.port)}
    assert 1024 < serving.port < ephemeral_bound()


def test_runs_as_the_servers_account(serving: Nginx) -> None:
    found = processes(serving)
    assert len(found) > 1, "a master and its workers"
    assert {process.uids() for process in found} == {(server_account().uid,) * 3}


def test_serves_what_it_is_told_and_keeps_that_and_its_port_over_a_restart(edge: Nginx) -> None:
    port = edge.port
    edge.serve(answering(edge, 418))
    assert get(edge).status == 418
    edge.restart()
    assert (get(edge).status, edge.port) == (418, port)


@pytest.mark.parametrize("kill", [False, True])
def test_stopped_or_killed_it_leaves_no_process_until_it_is_restarted(
    serving: Nginx, kill: bool
) -> None:
    serving.stop(kill=kill)
    assert_down(serving)
    serving.stop(kill=kill)  # nothing, where it is down
    serving.restart()
    assert get(serving).status == 204
    serving.stop(kill=kill)
    serving.serve(answering(serving, 205))
    assert get(serving).status == 205


def test_stop_does_not_wait_for_a_request_that_is_being_answered(edge: Nginx) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        edge.serve(
            f"server {{ listen {edge.host}:{edge.port};"
            f" location / {{ proxy_pass http://127.0.0.1:{port}; }} }}"
        )
        with socket.create_connection((edge.host, edge.port), timeout=30) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            accepted, _ = silent.accept()
            with accepted:
                assert accepted.recv(4), "nginx has asked the origin, and will get no answer"
                edge.stop()
                assert client.recv(1) == b"", "cut off"
    assert_down(edge)


@contextmanager
def origin(*lines: tuple[str, str]) -> Iterator[int]:
    """A server that answers every request with these header lines in this order; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            for name, value in lines:
                self.send_header(name, value)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"page")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def caching(edge: Nginx, origin_port: int) -> str:
    """A cache in front of an origin that says what it did and what it read."""
    return f"""
        proxy_cache_path {edge.cache} levels=1 keys_zone=test:1m use_temp_path=off;
        server {{
            listen {edge.host}:{edge.port};
            proxy_cache test;
            proxy_cache_key $request_uri;
            proxy_ignore_headers Vary;
            add_header X-Did $upstream_cache_status;
            add_header X-Vary $upstream_http_vary;
            location / {{ proxy_pass http://127.0.0.1:{origin_port}; }}
        }}
    """


def did(edge: Nginx) -> str:
    return get(edge, "/page").getheader("x-did", "")


@pytest.mark.parametrize("by", ["this process", "the servers' account"])
def test_a_stored_response_is_purged_by_removing_its_file(edge: Nginx, by: str) -> None:
    with origin(("Cache-Control", "max-age=60")) as port:
        edge.serve(caching(edge, port))
        assert [did(edge), did(edge)] == ["MISS", "HIT"]
        (stored,) = (path for path in edge.cache.rglob("*") if path.is_file())
        assert stored.stat().st_uid == server_account().uid
        if by == "this process":
            stored.unlink()
        else:
            account = server_account()
            subprocess.run(["rm", str(stored)], check=True, cwd="/", **account.run_as())
        assert [did(edge), did(edge)] == ["MISS", "HIT"]


def test_what_is_stored_outlives_a_crash_and_can_be_purged_meanwhile(edge: Nginx) -> None:
    with origin(("Cache-Control", "max-age=60")) as port:
        edge.serve(caching(edge, port))
        assert [did(edge), did(edge)] == ["MISS", "HIT"]
        edge.stop(kill=True)
        edge.restart()
        assert did(edge) == "HIT"
        edge.stop(kill=True)
        for path in edge.cache.rglob("*"):
            if path.is_file():
                path.unlink()
        edge.restart()
        assert did(edge) == "MISS"


def test_a_new_task_begins_with_an_empty_cache(edge: Nginx) -> None:
    with origin(("Cache-Control", "max-age=60")) as port:
        edge.serve(caching(edge, port))
        assert [did(edge), did(edge)] == ["MISS", "HIT"]
        edge.serve(caching(edge, port))
        assert did(edge) == "MISS"
    assert edge.cache.stat().st_uid == server_account().uid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look as another user")
def test_nobody_else_reads_what_is_stored(serving: Nginx) -> None:
    account = server_account()
    other = account.uid + 1
    for folder in (serving.cache, serving.cache.parent):
        done = subprocess.run(
            ["ls", str(folder)],
            user=other,
            group=other,
            extra_groups=[],
            env=os.environ | {"LC_ALL": "C"},
            capture_output=True,
            check=False,
        )
        assert done.returncode != 0
        assert b"Permission denied" in done.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no_such_directive;", 'refuses.* unknown directive "no_such_directive"'),
        ("server {", "refuses.* unexpected end of file"),
    ],
)
def test_a_refused_configuration_leaves_the_server_as_it_was(
    serving: Nginx, text: str, reason: str
) -> None:
    (serving.cache / "kept").write_text("response")
    with pytest.raises(ServiceError, match=reason) as caught:
        serving.serve(text)
    assert "\n" not in str(caught.value)
    assert get(serving).status == 204
    assert (serving.cache / "kept").exists()
    serving.restart()
    assert get(serving).status == 204


def test_a_configuration_that_cannot_be_started_gives_way_to_the_one_before(serving: Nginx) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=r"did not start: bind\(\) .*in use"):
            serving.serve(f"server {{ listen 127.0.0.1:{port}; }}")
        assert get(serving).status == 204
        serving.restart()
        assert get(serving).status == 204


def test_a_port_lost_in_a_race_is_replaced(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = itertools.chain([taken.getsockname()[1]], free_ports())
        monkeypatch.setattr("perflab.services.nginx.free_ports", lambda: ports)
        with open_services(rung, only=["edge"]) as services:
            assert services.edge.port != taken.getsockname()[1]
            assert get(services.edge).status == 503


def test_restart_brings_back_a_server_whose_master_was_killed(serving: Nginx) -> None:
    before = processes(serving)
    psutil.Process(control(serving).site.main_pid).kill()
    serving.restart()
    assert get(serving).status == 204
    assert not set(before) & set(processes(serving)), "workers of the killed master are gone"


def test_an_expires_in_the_past_is_a_trap_only_where_the_version_is_said_to_have_it(
    edge: Nginx,
) -> None:
    with origin(("Expires", PAST), ("Cache-Control", "max-age=60")) as port:
        edge.serve(caching(edge, port))
        outcomes = [did(edge), did(edge)]
    named = any("Cache-Control over Expires" in sentence for sentence in lacks(edge))
    assert outcomes == (["MISS", "MISS"] if named else ["MISS", "HIT"])


def test_a_second_line_of_a_field_is_overlooked_only_where_the_version_is_said_to(
    edge: Nginx,
) -> None:
    with origin(("Vary", "Accept-Encoding"), ("Vary", "Cookie")) as port:
        edge.serve(caching(edge, port))
        seen = get(edge).getheader("x-vary")
    named = any("all lines of a header field" in sentence for sentence in lacks(edge))
    assert seen == ("Accept-Encoding" if named else "Accept-Encoding, Cookie")
