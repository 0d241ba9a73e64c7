"""nginx in a container: what the image must hold, and the scenarios of the edge in front of it."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from testcontainers.core.transferable import build_transfer_tar

# these run here once more, with the fixture `nginx` below
from cache.test_edge_nginx import (  # noqa: F401
    test_cdn_cache_control_rules_the_edge_and_cache_control_the_client,
    test_expired_response_is_revalidated_and_good_for_another_lifetime,
    test_first_request_is_a_miss_and_the_second_a_hit,
    test_killed_nginx_leaves_the_origin_serving_and_comes_back,
    test_purge_by_prefix_and_of_everything,
    test_purge_by_tag_holds_whatever_the_index_knows,
    test_purge_by_url_drops_every_variant_and_nothing_else,
    test_response_that_was_under_way_during_a_purge_is_dropped_after_it,
    test_response_with_as_many_tags_as_there_may_be_is_stored_and_purged,
    test_stale_if_error_serves_what_is_stored_while_the_origin_fails,
    test_stale_if_error_serves_what_is_stored_while_the_origin_is_down,
    test_stale_while_revalidate_serves_at_once_and_refreshes_behind,
    test_what_must_not_be_shared_is_not_stored,
)
from perflab.services import Nginx, ServiceError, Services, open_services
from perflab.services.account import server_account
from perflab.services.docker.nginx import DockerNginx
from perflab.services.docker.place import LAB_LABEL

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture(scope="module")
def client(docker_images: None) -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def opened(docker_images: None) -> Iterator[Services]:
    with open_services("docker", only=["edge"]) as services:
        yield services


@pytest.fixture
def edge(opened: Services) -> Nginx:
    return opened.edge


@pytest.fixture
def nginx(edge: Nginx) -> DockerNginx:
    assert isinstance(edge.control, DockerNginx)
    return edge.control


def containers(client: Any, home: Path | str) -> list[Any]:
    found: list[Any] = client.containers.list(
        all=True, filters={"label": f"{LAB_LABEL}={Path(home).name}"}
    )
    return found


def test_version_and_build_are_those_of_the_image(
    client: Any, edge: Nginx, nginx: DockerNginx
) -> None:
    (container,) = containers(client, nginx.site.home)
    said = container.exec_run(["nginx", "-v"]).output.decode()
    assert said.strip() == f"nginx version: nginx/{edge.version}"
    assert container.attrs["Image"].startswith(f"sha256:{edge.build}")


def test_container_is_the_servers_account_and_shares_only_the_network_and_the_edges_folder(
    client: Any, nginx: DockerNginx
) -> None:
    (container,) = containers(client, nginx.site.home)
    account, folder = server_account(), str(nginx.site.folder)
    assert container.attrs["Config"]["User"] == f"{account.uid}:{account.gid}"
    assert container.attrs["Config"]["StopSignal"] == "SIGTERM"
    host = container.attrs["HostConfig"]
    assert (host["NetworkMode"], host["Privileged"]) == ("host", False)
    mounts = [(mount["Source"], mount["Destination"]) for mount in container.attrs["Mounts"]]
    assert mounts == [(folder, folder)]


@pytest.fixture
def image(client: Any) -> Iterator[str]:
    """The name of an image that the test makes; removed after it."""
    name = f"perflab-test-unfit:{secrets.token_hex(4)}"
    yield name
    client.images.remove(name)


def with_program(client: Any, image: str, script: str) -> None:
    """An image whose nginx is a shell script."""
    base = client.containers.create(os.environ["PERFLAB_NGINX_IMAGE"], ["true"])
    try:
        program = f"#!/bin/sh\n{script}\n".encode()
        base.put_archive("/", build_transfer_tar(program, "/usr/local/sbin/nginx", 0o755))
        base.commit(*image.split(":"))
    finally:
        base.remove(v=True)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("", "^the image {image} holds no nginx that runs: .*not found"),
        (
            """echo 'nginx version: nginx/1.18.0'; [ "$1" = -v ]""",
            "^what the image {image} holds is nginx 1.18.0, older than 1.20$",
        ),
    ],
    ids=["without", "old"],
)
def test_an_image_without_a_usable_nginx_is_named_and_nothing_is_left(
    client: Any, image: str, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    if script:
        with_program(client, image, script)
    else:
        repository, tag = image.split(":")
        client.api.import_image_from_data(b"\0" * 1024, repository=repository, tag=tag)
    monkeypatch.setenv("PERFLAB_NGINX_IMAGE", image)
    with pytest.raises(ServiceError, match=reason.format(image=re.escape(image))) as caught:
        open_services("docker", only=["edge"])
    assert "\n" not in str(caught.value)
    assert client.containers.list(all=True, filters={"ancestor": image}) == []


ELSEWHERE = """
from perflab.services import RungUnavailable, open_services
try:
    open_services("docker", only=["edge"])
except RungUnavailable as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a folder")
def test_a_temporary_folder_that_the_daemon_does_not_see_is_said(docker_images: None) -> None:
    with tempfile.TemporaryDirectory(prefix="perflab_test_") as folder:
        Path(folder).chmod(0o755)
        # as in a service of systemd's with a private /tmp
        mount = f"mount -t tmpfs -o mode=1777 tmpfs {folder} && exec env TMPDIR={folder}"
        done = subprocess.run(
            [
                "unshare",
                "--mount",
                "sh",
                "-c",
                f'{mount} "$@"',
                "sh",
                sys.executable,
                "-c",
                ELSEWHERE,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said = done.stdout.strip()
        assert said.startswith(f"edge: the Docker daemon does not see the folder {folder}/perflab-")
        assert "; set TMPDIR to a folder that it sees" in said
        assert list(Path(folder).iterdir()) == []
