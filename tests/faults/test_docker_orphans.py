"""No container and no volume outlives the lab, however the lab's process ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from testcontainers.core.transferable import build_transfer_tar

from perflab.services import ServiceError, attach_services
from perflab.services.docker import leftovers as docker_leftovers
from perflab.services.docker.place import DATA_LABEL, HOST_LABEL, KEPT_LABEL, LAB_LABEL, MARK_LABEL
from perflab.services.docker.volumes import drop, find_kept
from perflab.services.owner import Mark
from perflab.services.warden import machine

from .owners import RESTART_BOTH, RESTART_EDGE, STAY, Owner, attached, homes_of, until

pytestmark = [pytest.mark.docker, pytest.mark.slow]

TEMPLATE = f"orphans-{os.getpid()}"
OPEN = f"""
import os, sys, threading, time
from perflab.services import PostgresSettings, open_services
services = open_services(
    "docker",
    settings=PostgresSettings(shared_buffers_mb=32),
    template="{TEMPLATE}",
    only=["postgres", "redis", "edge"],
)
print(services.share(), flush=True)
"""
OPEN_EDGE = OPEN.replace('"postgres", "redis", ', "")
FILL = """
import psycopg
with psycopg.connect(services.postgres.conninfo()) as conn:
    conn.execute("CREATE TABLE big AS SELECT n, md5(n::text) FROM generate_series(1, 400000) AS n")
"""
KEEP = FILL + f"services.postgres.keep('{TEMPLATE}')\nprint('kept', flush=True)\n"


@pytest.fixture(scope="module")
def client(docker_images: None) -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def kept(client: Any) -> Iterator[None]:
    """Data kept under TEMPLATE, removed after the test."""
    image = client.images.get(os.environ["PERFLAB_POSTGRES_IMAGE"]).id
    subprocess.run([sys.executable, "-c", OPEN + KEEP], check=True, stdout=subprocess.DEVNULL)
    found = find_kept(client, image, TEMPLATE)
    assert found
    yield
    drop(client, found)


def things_of(client: Any, pid: int) -> list[str]:
    """Names of all that a process had made, found by name and not by label."""
    named = {"name": f"perflab-{pid}-"}
    containers = client.containers.list(all=True, filters=named, ignore_removed=True)
    return [thing.name for thing in (*containers, *client.volumes.list(filters=named))]


def anonymous_volumes(client: Any) -> set[str]:
    return {volume.name for volume in client.volumes.list() if len(volume.name) == 64}


def assert_nothing_left(client: Any, pid: int) -> None:
    assert until(lambda: not things_of(client, pid) and not homes_of(pid)), (
        things_of(client, pid),
        homes_of(pid),
    )


def test_killed_owner_leaves_no_container_and_no_volume(
    client: Any, own: Callable[..., Owner]
) -> None:
    before = anonymous_volumes(client)
    owner = own(OPEN + STAY)
    owner.share()
    names = things_of(client, owner.process.pid)
    made = {name.rpartition("-")[2] for name in names}
    assert made == {"postgres", "redis", "edge", "data"}
    mounts = [
        mount["Name"]
        for name in names
        if not name.endswith("data")
        for mount in client.containers.get(name).attrs["Mounts"]
        if mount["Type"] == "volume"
    ]
    assert mounts == [name for name in names if name.endswith("data")], "no anonymous volume"
    owner.kill()
    assert_nothing_left(client, owner.process.pid)
    assert anonymous_volumes(client) <= before


@pytest.mark.parametrize("sign", ["data", "postgres", "redis", "edge"])
def test_owner_killed_while_it_starts_leaves_nothing(
    client: Any, own: Callable[..., Owner], sign: str
) -> None:
    owner = own(OPEN + STAY)
    pid = owner.process.pid
    assert until(lambda: any(name.endswith(sign) for name in things_of(client, pid)), 60.0)
    owner.kill()
    assert_nothing_left(client, pid)


def test_owner_killed_while_it_asks_an_image_leaves_nothing(
    client: Any, own: Callable[..., Owner], tmp_path: Path
) -> None:
    # in an empty cache nothing is known of the image
    owner = own(OPEN + STAY, PERFLAB_CACHE_DIR=str(tmp_path))
    pid = owner.process.pid
    assert until(lambda: any(name.endswith("facts") for name in things_of(client, pid)), 60.0)
    owner.kill()
    assert_nothing_left(client, pid)


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
def test_owner_killed_at_any_moment_leaves_nothing(
    client: Any, own: Callable[..., Owner], delay_s: float
) -> None:
    owner = own(OPEN + STAY)
    pid = owner.process.pid
    assert until(lambda: any((home / "docker.json").exists() for home in homes_of(pid)), 60.0)
    time.sleep(delay_s)
    owner.kill()
    assert_nothing_left(client, pid)


def test_owner_killed_while_it_copies_kept_data_leaves_nothing_but_that(
    client: Any, own: Callable[..., Owner], kept: None
) -> None:
    owner = own(OPEN + STAY)
    pid = owner.process.pid
    assert until(lambda: any(name.endswith("copy") for name in things_of(client, pid)), 60.0)
    owner.kill()
    assert_nothing_left(client, pid)
    image = client.images.get(os.environ["PERFLAB_POSTGRES_IMAGE"]).id
    assert find_kept(client, image, TEMPLATE)


@pytest.mark.parametrize("sign", ["-kept-", "keep"])
def test_owner_killed_while_it_keeps_data_leaves_no_half_of_it(
    client: Any, own: Callable[..., Owner], sign: str
) -> None:
    owner = own(OPEN + KEEP + STAY)
    pid = owner.process.pid
    owner.share()
    assert until(lambda: any(sign in name for name in things_of(client, pid)), 60.0)
    owner.kill()
    assert_nothing_left(client, pid)
    image = client.images.get(os.environ["PERFLAB_POSTGRES_IMAGE"]).id
    assert find_kept(client, image, TEMPLATE) is None


def test_owner_killed_while_another_process_restarts_leaves_nothing(
    client: Any, own: Callable[..., Owner]
) -> None:
    owner = own(OPEN + STAY)
    share = owner.share()
    other = attached(share, RESTART_BOTH)
    try:
        assert other.stdout is not None
        with other.stdout:
            assert other.stdout.readline() == "1\n"
            owner.kill()
            assert_nothing_left(client, owner.process.pid)
            last = other.stdout.readlines()[-1]
        assert other.wait(60) == 0
    finally:
        other.kill()
        other.wait()
    assert "Traceback" not in last


@pytest.mark.parametrize("moment", ["served", "killed"])
def test_owner_killed_while_it_restarts_its_edge_leaves_nothing(
    client: Any, own: Callable[..., Owner], moment: str
) -> None:
    owner = own(OPEN_EDGE + RESTART_EDGE)
    owner.share()
    assert owner.process.stdout
    assert any(line == f"{moment}\n" for line in owner.process.stdout)
    owner.kill()
    assert_nothing_left(client, owner.process.pid)


def test_nothing_can_be_made_for_a_lab_that_has_ended(
    client: Any, own: Callable[..., Owner]
) -> None:
    owner = own(OPEN + STAY)
    attached = attach_services(owner.share())
    owner.kill()
    assert_nothing_left(client, owner.process.pid)
    for act in (
        attached.postgres.restart,
        attached.redis.restart,
        lambda: attached.postgres.keep(TEMPLATE),
    ):
        with pytest.raises(ServiceError, match="has ended; open services again"):
            act()
    assert things_of(client, owner.process.pid) == []


def test_the_next_lab_removes_what_is_left_where_the_watchdog_was_killed_too(
    client: Any, own: Callable[..., Owner]
) -> None:
    owner = own(OPEN + STAY)
    home = owner.share().parent
    owner.watchdog().kill()
    owner.kill()
    assert len(things_of(client, owner.process.pid)) == 4
    assert home.name in docker_leftovers.sweep(client)
    assert things_of(client, owner.process.pid) == []


@pytest.fixture(scope="module")
def reaper(client: Any) -> Iterator[str]:
    """An image that stands in for testcontainers' reaper, which no registry gives here."""
    image = "perflab-test-reaper:latest"
    script = (Path(__file__).parent / "reaper.pl").read_bytes()
    base = client.containers.create(os.environ["PERFLAB_POSTGRES_IMAGE"], ["true"])
    try:
        base.put_archive("/", build_transfer_tar(script, "/reaper.pl"))
        changes = 'ENTRYPOINT ["perl", "/reaper.pl"]\nCMD []'
        base.commit(*image.split(":"), changes=changes)
    finally:
        base.remove(v=True)
    yield image
    client.images.remove(image)


@pytest.mark.parametrize("disabled", ["false", "true"])
def test_with_and_without_testcontainers_reaper_nothing_is_left(
    client: Any, own: Callable[..., Owner], reaper: str, disabled: str
) -> None:
    owner = own(
        OPEN + STAY,
        RYUK_CONTAINER_IMAGE=reaper,
        TESTCONTAINERS_RYUK_DISABLED=disabled,
        TESTCONTAINERS_HOST_OVERRIDE="127.0.0.1",
    )
    owner.share()

    def reapers() -> list[Any]:
        found: list[Any] = client.containers.list(all=True, filters={"ancestor": reaper})
        return found

    assert len(reapers()) == (0 if disabled == "true" else 1)
    owner.kill()
    assert_nothing_left(client, owner.process.pid)
    assert until(lambda: reapers() == [])


def test_sweep_leaves_living_labs_other_machines_and_kept_data_alone(client: Any) -> None:
    here, host = machine(), "this-host"
    gone = Mark("x", here, 4194304, 1)
    labels = {
        "living": {MARK_LABEL: Mark.of_this_process("x").text},
        "elsewhere": {MARK_LABEL: Mark("x", "another-boot pid:[1]", 4194304, 1).text},
        "container": {MARK_LABEL: Mark("x", f"{here.split()[0]} pid:[1]", 4194304, 1).text},
        "dead": {MARK_LABEL: gone.text},
        "data": {MARK_LABEL: gone.text, KEPT_LABEL: "t"},
        "half": {MARK_LABEL: gone.text, KEPT_LABEL: "t"},
    }
    start = f"perflab-sweep-{os.getpid()}-"
    made = [
        client.volumes.create(
            start + name, labels={LAB_LABEL: start + name, HOST_LABEL: host, **more}
        )
        for name, more in labels.items()
    ]
    try:
        made.append(
            client.volumes.create(
                f"{start}name", labels={KEPT_LABEL: "t", DATA_LABEL: f"{start}data"}
            )
        )
        swept = docker_leftovers.sweep(client)
        left = {volume.name for volume in client.volumes.list(filters={"name": start})}
    finally:
        for volume in made:
            with suppress(docker.errors.NotFound):
                volume.remove(force=True)
    assert {name for name in swept if name.startswith(start)} == {start + "dead", start + "half"}
    assert left == {start + name for name in ("living", "elsewhere", "container", "data", "name")}


def test_after_a_restart_of_the_machine_its_labs_are_swept(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_leftovers, "machine_id", lambda: "this-host")
    name = f"perflab-reboot-{os.getpid()}"
    mark = Mark("x", "an-earlier-boot pid:[1]", os.getpid(), 1).text
    labels = {LAB_LABEL: name, MARK_LABEL: mark, HOST_LABEL: "this-host"}
    volume = client.volumes.create(name, labels=labels)
    try:
        assert name in docker_leftovers.sweep(client)
        assert client.volumes.list(filters={"name": name}) == []
    finally:
        with suppress(docker.errors.NotFound):
            volume.remove(force=True)
