"""When the docker rung is chosen, when an image is pulled, and that nobody waits for it twice."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perflab.doctor import examine
from perflab.services import RungUnavailable, open_services, probe
from perflab.services.addresses import ServiceName
from perflab.services.docker import engine, images
from perflab.services.errors import ServiceError

from .stub import StubDaemon, stub_daemon

Say = Callable[[dict[str, object]], None]
USUAL = {"redis": "redis:8-alpine", "edge": "nginx:1-alpine"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No daemon, image, failure or time that another test has used."""
    monkeypatch.setenv("PERFLAB_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("PERFLAB_POSTGRES_URL", "PERFLAB_REDIS_URL", "CI", *images.IMAGE_ENV.values()):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(engine, "_silent", {})
    monkeypatch.setattr(engine, "_in_container", lambda: False)
    monkeypatch.setattr(images, "_spent_s", 0.0)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubDaemon]:
    def refuse(say: Say) -> None:
        say({"status": "Pulling"})
        say({"error": "pull access denied\nfor this image"})

    with stub_daemon(refuse) as stub:
        monkeypatch.setenv("DOCKER_HOST", stub.host)
        yield stub


@pytest.fixture(params=["redis", "edge"])
def service(request: pytest.FixtureRequest) -> ServiceName:
    """One of which the user may have a server, and the one that is always the lab's."""
    found: ServiceName = request.param
    return found


def note(service: ServiceName = "redis") -> str:
    """The line by which ``auto`` says what it chose for a service."""
    with open_services("auto", only={service}) as services:
        return services.notes[0]


def docker_reason(service: ServiceName = "postgres") -> str:
    return next(p.reason for p in probe() if (p.rung, p.service) == ("docker", service))


def test_auto_without_a_daemon_is_embedded_and_says_why(
    monkeypatch: pytest.MonkeyPatch, service: ServiceName
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    said = note(service)
    assert said.startswith(f"{service}: embedded (")
    assert said.endswith("docker: no daemon on unix:///nowhere/docker.sock")
    assert "\n" not in said


def test_a_daemon_that_hangs_is_given_up_after_two_seconds_and_not_asked_again(
    refusing: StubDaemon,
) -> None:
    refusing.hangs = True
    started = time.monotonic()
    assert "does not answer within 2 s" in docker_reason()
    first_s = time.monotonic() - started
    assert 1.5 < first_s < 15
    refusing.hangs = False  # it would answer now, but it is not asked
    assert "does not answer within 2 s" in docker_reason()


def test_a_daemon_whose_ports_are_not_here_is_refused(
    monkeypatch: pytest.MonkeyPatch, refusing: StubDaemon
) -> None:
    refusing.info = {"Name": "the machine around"}
    monkeypatch.setattr(engine, "_in_container", lambda: True)
    assert docker_reason() == "the daemon is that of the machine around this container"
    refusing.info = {"Name": socket.gethostname()}
    assert "to be pulled" in docker_reason()
    with pytest.raises(engine.NoDaemon, match=r"tcp://db\.example:2375 is on another machine"):
        engine._check_nearness("http://db.example:2375", "", "tcp://db.example:2375")


def test_a_password_in_docker_host_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://me:hunter2@127.0.0.1:9")
    assert "hunter2" not in docker_reason()
    with pytest.raises(RungUnavailable) as caught:
        open_services("docker")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"OperatingSystem": "Docker Desktop"}, "Docker runs in a virtual machine"),
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, "a rootless Docker has its own"),
        ({"DockerRootDir": "/var/snap/docker/common"}, "Docker out of a snap does not see /tmp"),
    ],
    ids=["desktop", "rootless", "snap"],
)
def test_a_docker_that_shares_no_network_or_folder_has_no_edge_and_is_asked_for_no_image(
    refusing: StubDaemon, monkeypatch: pytest.MonkeyPatch, info: dict[str, object], reason: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    refusing.info = info
    said = note("edge")
    assert said.startswith("edge: embedded (")
    assert said.endswith(reason)
    assert "docker: the edge needs " in said
    with pytest.raises(RungUnavailable, match=f"{reason}; choose the rung auto or embedded$"):
        open_services("docker", only={"edge"})
    assert "to be pulled" in docker_reason("redis"), "the others can be had"
    assert refusing.pulls == []


def test_a_failed_pull_leads_to_embedded_and_is_not_tried_again_by_auto(
    refusing: StubDaemon, service: ServiceName
) -> None:
    said = note(service)
    assert said.startswith(f"{service}: embedded (")
    assert "pulling it failed: pull access denied for this image" in said
    assert "\n" not in said
    assert len(refusing.pulls) == 1
    assert f"fromImage={USUAL[service].partition(':')[0]}" in refusing.pulls[0]
    assert "pulling it failed 0 min ago: pull access denied" in note(service)
    assert len(refusing.pulls) == 1


def test_a_failed_pull_is_forgotten_after_a_day(refusing: StubDaemon, tmp_path: Path) -> None:
    note()
    (failure,) = (tmp_path / "cache/docker/failed-pulls").iterdir()
    day_ago = time.time() - 24 * 3600 - 60
    os.utime(failure, (day_ago, day_ago))
    note()
    assert len(refusing.pulls) == 2


def test_docker_asked_for_by_name_always_tries(
    refusing: StubDaemon,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    service: ServiceName,
) -> None:
    note(service)
    monkeypatch.setenv("CI", "true")
    image, variable = USUAL[service], images.IMAGE_ENV[service]
    advice = rf"docker pull {image}\), or name another by {variable}$"
    for tries in (2, 3):
        with pytest.raises(RungUnavailable, match=f"failed: pull access denied .*{advice}"):
            open_services("docker", only={service})
        assert len(refusing.pulls) == tries
    assert f"pulling {image} (needed once)" in capsys.readouterr().err


def test_nothing_is_pulled_where_ci_is_set(
    refusing: StubDaemon, monkeypatch: pytest.MonkeyPatch, service: ServiceName
) -> None:
    monkeypatch.setenv("CI", "true")
    reason = f"no image {USUAL[service]} here, and nothing is pulled where CI is set"
    assert reason in note(service)
    assert refusing.pulls == []


@pytest.mark.parametrize("kind", ["endless", "silent"])
def test_a_pull_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(images, "_UNASKED_S", 2.0)

    def pull(say: Say) -> None:
        while not stub.closing.wait(0.05):
            if kind == "endless":
                say({"status": "Downloading", "progressDetail": {"current": 1, "total": 2}})

    with stub_daemon(pull) as stub:
        monkeypatch.setenv("DOCKER_HOST", stub.host)
        started = time.monotonic()
        said = note()
    assert time.monotonic() - started < 30
    expected = "it was not done after 1 s" if kind == "endless" else "the registry was silent"
    assert f"pulling it failed: {expected}" in said


def test_a_lab_killed_while_it_pulls_leaves_no_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = threading.Event()

    def pull(say: Say) -> None:
        with contextlib.suppress(OSError):
            while not stub.closing.wait(0.05):
                say({"status": "Waiting"})
        gone.set()

    program = "from perflab.services import open_services; open_services('docker')"
    with stub_daemon(pull) as stub:
        monkeypatch.setenv("DOCKER_HOST", stub.host)
        with subprocess.Popen(
            [sys.executable, "-c", program], stderr=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + 60
            while not stub.pulls:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.kill()
        assert gone.wait(10), "the daemon hears that nobody waits for the image any more"
    assert list(Path(tempfile.gettempdir()).glob(f"perflab-{process.pid}-*")) == []


def test_pulls_of_one_process_share_their_minute(
    refusing: StubDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_spent_s", images._UNASKED_S)
    with pytest.raises(RungUnavailable, match="no time was left for it"):
        images.fetch("redis:8-alpine", asked=False)
    assert refusing.pulls == []


def test_probe_and_doctor_pull_nothing_and_name_the_images(refusing: StubDaemon) -> None:
    finding = next(line for line in examine() if line.subject == "docker")
    assert "image postgres:18-alpine, to be pulled into Docker 20.stub" in finding.state
    assert "image redis:8-alpine, to be pulled" in finding.state
    assert "image nginx:1-alpine, to be pulled" in finding.state
    assert refusing.pulls == []


@pytest.mark.docker
def test_a_dead_registry_leads_to_embedded(
    docker_images: None, monkeypatch: pytest.MonkeyPatch, service: ServiceName
) -> None:
    monkeypatch.setenv(images.IMAGE_ENV[service], "127.0.0.1:9/server")
    said = note(service)
    assert said.startswith(f"{service}: embedded (")
    assert "no image 127.0.0.1:9/server here, and pulling it failed" in said
    with pytest.raises(RungUnavailable, match=r"docker pull 127\.0\.0\.1:9/server"):
        open_services("docker", only={service})


@pytest.mark.docker
def test_auto_takes_docker_where_the_image_is_here(
    docker_images: None, monkeypatch: pytest.MonkeyPatch, service: ServiceName
) -> None:
    variable = images.IMAGE_ENV[service]
    image = os.environ[variable.replace("PERFLAB_", "PERFLAB_TEST_")]
    monkeypatch.setenv(variable, image)
    assert note(service).startswith(f"{service}: docker (image {image} in Docker ")


@pytest.mark.parametrize(
    ("name", "usable"),
    [
        ("postgres:18-alpine", True),
        ("localhost:5000/team/pg_17--x:a.B-c", True),
        ("ghcr.io/x/y@sha256:" + "0" * 64, True),
        ("sha256:" + "a" * 64, True),
        ("Upper", False),
        ("two words", False),
        ("postgres:", False),
        ("https://ghcr.io/x", False),
        ("-x", False),
    ],
)
def test_a_name_that_no_image_can_have_is_refused_by_its_variable(
    name: str, usable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_POSTGRES_IMAGE", name)
    if usable:
        assert images.image_name("postgres") == name
    else:
        with pytest.raises(ServiceError, match=r"PERFLAB_POSTGRES_IMAGE=.*unset it"):
            images.image_name("postgres")
