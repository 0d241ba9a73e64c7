"""Real servers for the tests: started once a session, a fresh database for each test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from databases import own_database
from perflab.services import Postgres, PostgresSettings, Redis, Services, open_services

pytest_plugins = ["redis_cluster", "servers_folder", "smoke_run", "workers"]

DOCKER_HOST = os.environ.get("DOCKER_HOST")
IMAGES = {
    "PERFLAB_TEST_POSTGRES_IMAGE": "PERFLAB_POSTGRES_IMAGE",
    "PERFLAB_TEST_REDIS_IMAGE": "PERFLAB_REDIS_IMAGE",
    "PERFLAB_TEST_NGINX_IMAGE": "PERFLAB_NGINX_IMAGE",
}
"""The variables that name the images for the tests, and those by which the lab takes them."""


@pytest.fixture(scope="session", autouse=True)
def no_docker() -> None:
    """Out of reach, so that ``auto`` means the same on every machine; docker_images undoes it."""
    os.environ["DOCKER_HOST"] = "unix:///nowhere/docker.sock"


@pytest.fixture(scope="module")
def docker_images(no_docker: None) -> Iterator[None]:
    """The docker rung with the images of tests/images/build; skips where something is missing."""
    with pytest.MonkeyPatch.context() as patch:
        if DOCKER_HOST is None:
            patch.delenv("DOCKER_HOST")
        else:
            patch.setenv("DOCKER_HOST", DOCKER_HOST)
        for variable, name in IMAGES.items():
            image = os.environ.get(variable, "")
            if not image:
                pytest.skip(f"{variable} is not set; tests/images/build makes the images")
            inspect = ["docker", "image", "inspect", image]
            try:
                found = subprocess.run(inspect, capture_output=True, text=True, check=False)
            except FileNotFoundError:
                pytest.skip("no Docker on this machine")
            if found.returncode:
                pytest.skip(" ".join(found.stderr.split()))
            patch.setenv(name, image)
        yield


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    with open_services("embedded", settings=PostgresSettings(shared_buffers_mb=256)) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres(services: Services) -> Postgres:
    return services.postgres


@pytest.fixture(scope="session")
def redis_server(services: Services) -> Redis:
    return services.redis


@pytest.fixture(scope="module")
def own_services() -> Iterator[Services]:
    """Servers of one test module, to restart, kill and break."""
    with open_services("embedded", settings=PostgresSettings(shared_buffers_mb=32)) as opened:
        yield opened


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The conninfo of an empty database that only this test uses."""
    with own_database(postgres, "test") as conninfo:
        yield conninfo
