"""Servers in containers: who can reach them, restarts, kept data, sharing, and no secret told."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import psycopg
import pytest
import redis
from psycopg.conninfo import make_conninfo

from perflab.doctor import clean_cache
from perflab.services import (
    PostgresSettings,
    ServiceError,
    Services,
    attach_services,
    open_services,
)
from perflab.services.docker import volumes as docker_volumes
from perflab.services.docker.place import Place
from perflab.services.docker.servers import DockerPostgres, DockerRedis
from perflab.services.ports import ephemeral_bound, free_ports
from services.attaching import attach_and_restart

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SMALL = PostgresSettings(shared_buffers_mb=32)
KEPT = f"test-{os.getpid()}"


@pytest.fixture(scope="module")
def client(docker_images: None) -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def opened(docker_images: None) -> Iterator[Services]:
    settings = PostgresSettings(shared_buffers_mb=32, extra={"work_mem": "7MB"})
    with open_services("docker", settings=settings) as services:
        yield services


@pytest.fixture
def kept(client: Any, opened: Services) -> Iterator[None]:
    """What is kept under KEPT is removed after the test."""
    yield
    found = docker_volumes.find_kept(client, image_id(opened), KEPT)
    if found:
        assert docker_volumes.drop(client, found)


def postgres_control(services: Services) -> DockerPostgres:
    found = services.postgres.control
    assert isinstance(found, DockerPostgres)
    return found


def redis_control(services: Services) -> DockerRedis:
    found = services.redis.control
    assert isinstance(found, DockerRedis)
    return found


def image_id(services: Services) -> str:
    return postgres_control(services).site.image


def containers(client: Any, services: Services) -> list[Any]:
    sites = (postgres_control(services).site, redis_control(services).site)
    return [client.containers.get(site.container) for site in sites]


def scalar(conninfo: str, query: str) -> object:
    with psycopg.connect(conninfo) as conn:
        row = conn.execute(query).fetchone()
    assert row
    return row[0]


def test_versions_and_builds_are_the_servers_own(client: Any, opened: Services) -> None:
    postgres = opened.postgres
    assert (postgres.rung, postgres.owned) == ("docker", True)
    said = str(scalar(postgres.conninfo(), "SHOW server_version"))
    assert said.split()[0] == postgres.version
    assert scalar(postgres.conninfo(), "SHOW server_version_num") == str(postgres.version_num)
    assert image_id(opened).startswith(f"sha256:{postgres.build}")
    with redis.Redis.from_url(opened.redis.url()) as connection:
        info = connection.info("server")
    assert opened.redis.flavour in ("redis", "valkey")
    assert opened.redis.version == info[f"{opened.redis.flavour}_version"]


def test_settings_are_the_labs(opened: Services) -> None:
    with psycopg.connect(opened.postgres.conninfo()) as conn:
        for name, value in opened.postgres.settings.items():
            row = conn.execute("SELECT current_setting(%s)", [name]).fetchone()
            assert row == (value,), name
        row = conn.execute(
            "SELECT current_setting('TimeZone'), datcollate, pg_encoding_to_char(encoding)"
            " FROM pg_database WHERE datname = 'template1'"
        ).fetchone()
    assert row == ("UTC", "C", "UTF8")
    given = opened.postgres.settings
    assert (given["work_mem"], given["jit"], given["shared_buffers"]) == ("7MB", "off", "32MB")
    assert given["shared_preload_libraries"] == "pg_stat_statements,auto_explain"


def test_parallel_queries_have_shared_memory(opened: Services) -> None:
    with psycopg.connect(opened.postgres.conninfo()) as conn:
        conn.execute("SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0")
        conn.execute("SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL work_mem = '256MB'")
        conn.execute("CREATE TABLE wide AS SELECT n FROM generate_series(1, 600000) AS n")
        query = "SELECT count(*) FROM wide AS a JOIN wide AS b USING (n)"
        plan = conn.execute(f"EXPLAIN {query}").fetchall()
        assert any("Parallel Hash" in line for (line,) in plan)
        assert conn.execute(query).fetchone() == (600000,)


def test_ports_are_published_on_loopback_only_below_those_of_outgoing_connections(
    client: Any, opened: Services
) -> None:
    for container in containers(client, opened):
        published = [
            binding
            for bindings in container.attrs["NetworkSettings"]["Ports"].values()
            for binding in bindings or []
        ]
        assert [binding["HostIp"] for binding in published] == ["127.0.0.1"]
        port = int(published[0]["HostPort"])
        assert port in (opened.postgres.port, opened.redis.port)
        assert 1024 < port < ephemeral_bound()


@pytest.mark.parametrize("password", ["wrong", ""])
def test_refuses_a_wrong_or_missing_password(opened: Services, password: str) -> None:
    conninfo = make_conninfo(opened.postgres.conninfo(), password=password)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(conninfo)
    connection = redis.Redis(port=opened.redis.port, password=password or None)
    with (
        contextlib.closing(connection),
        pytest.raises(redis.RedisError, match=r"(?i)auth|username-password pair"),
    ):
        connection.ping()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_keeps_data_and_address(opened: Services, mode: str) -> None:
    postgres = opened.postgres
    before = postgres.conninfo()
    with psycopg.connect(before) as conn:
        conn.execute(f"CREATE TABLE kept_{mode} AS SELECT 41 AS n")
    started = scalar(before, "SELECT pg_postmaster_start_time()")
    postgres.restart("fast" if mode == "fast" else "immediate")
    assert postgres.conninfo() == before
    assert scalar(before, f"SELECT n FROM kept_{mode}") == 41
    assert scalar(before, "SELECT pg_postmaster_start_time()") != started


def test_fast_restart_does_not_wait_for_open_sessions(opened: Services) -> None:
    with psycopg.connect(opened.postgres.conninfo()) as conn:
        conn.execute("SELECT 1")
        opened.postgres.restart()
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")


def test_restart_brings_back_a_server_that_was_killed(client: Any, opened: Services) -> None:
    containers(client, opened)[0].kill()
    opened.postgres.restart()
    assert scalar(opened.postgres.conninfo(), "SELECT 1") == 1


def test_redis_restarts_empty_on_the_same_port(opened: Services) -> None:
    with redis.Redis.from_url(opened.redis.url()) as connection:
        connection.set("perflab:x", 1)
        opened.redis.restart()
        assert connection.dbsize() == 0


def test_kept_data_starts_a_server_with_the_same_data_and_another_password(
    client: Any, opened: Services, kept: None
) -> None:
    postgres = opened.postgres
    with psycopg.connect(postgres.conninfo(), autocommit=True) as conn:
        conn.execute("CREATE TABLE carried AS SELECT generate_series(1, 1000) AS n")
        conn.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        conn.execute("SELECT 'counted'")
    assert postgres.keep(KEPT)
    assert scalar(postgres.conninfo(), "SELECT count(*) FROM carried") == 1000

    with open_services("docker", settings=SMALL, template=KEPT, only={"postgres"}) as second:
        conninfo = second.postgres.conninfo()
        assert scalar(conninfo, "SELECT count(*) FROM carried") == 1000
        assert scalar(conninfo, "SELECT count(*) FROM pg_ls_waldir()") in (1, 2)
        counted = "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%carried AS%'"
        assert scalar(conninfo, counted) == 0
        foreign = make_conninfo(postgres.conninfo(), port=second.postgres.port)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(foreign)
        with psycopg.connect(conninfo) as conn:
            conn.execute("DROP TABLE carried")
    with open_services("docker", settings=SMALL, template=KEPT, only={"postgres"}) as third:
        assert scalar(third.postgres.conninfo(), "SELECT count(*) FROM carried") == 1000


def test_of_two_that_keep_the_same_the_first_wins(
    client: Any, opened: Services, kept: None
) -> None:
    assert opened.postgres.keep(KEPT)
    first = docker_volumes.find_kept(client, image_id(opened), KEPT)
    assert first
    assert first.size_bytes > 2**20
    assert opened.postgres.keep(KEPT)
    second = docker_volumes.find_kept(client, image_id(opened), KEPT)
    assert second
    assert second.volume == first.volume


def test_a_name_whose_data_is_gone_is_not_found_and_can_be_kept_again(
    client: Any, opened: Services, kept: None
) -> None:
    assert opened.postgres.keep(KEPT)
    first = docker_volumes.find_kept(client, image_id(opened), KEPT)
    assert first
    client.volumes.get(first.volume).remove()
    assert docker_volumes.find_kept(client, image_id(opened), KEPT) is None
    assert opened.postgres.keep(KEPT)
    assert docker_volumes.find_kept(client, image_id(opened), KEPT)


def test_another_template_starts_empty(opened: Services, kept: None) -> None:
    assert opened.postgres.keep(KEPT)
    with open_services("docker", settings=SMALL, template="other", only={"postgres"}) as second:
        count = "SELECT count(*) FROM pg_class WHERE relname LIKE 'kept_%'"
        assert scalar(second.postgres.conninfo(), count) == 0


@pytest.fixture
def cache(
    client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[list[docker_volumes.Kept]]:
    """Three kept data sets of 10 bytes each, least recently used first, and no others."""
    monkeypatch.setenv("PERFLAB_CACHE_DIR", str(tmp_path))
    start = f"perflab-trim-{os.getpid()}"
    made, names = [], [f"{start}-{n}" for n in range(3)]
    for n, name in enumerate(names):
        data = client.volumes.create(f"{name}-data", labels={"perflab.kept": name})
        labels = {"perflab.kept": name, "perflab.data": data.name, "perflab.bytes": "10"}
        made += [data, client.volumes.create(name, labels=labels)]
        note = docker_volumes._note(name)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
        os.utime(note, (n + 1, n + 1))
    everything = docker_volumes.all_kept
    monkeypatch.setattr(
        docker_volumes,
        "all_kept",
        lambda client: [kept for kept in everything(client) if kept.name.startswith(start)],
    )
    yield docker_volumes.all_kept(client)
    for volume in made:
        with contextlib.suppress(docker.errors.NotFound):
            volume.remove(force=True)


def test_the_least_recently_used_data_goes_first(
    client: Any, cache: list[docker_volumes.Kept]
) -> None:
    oldest, middle, newest = sorted(cache, key=lambda kept: kept.used)
    assert docker_volumes.trim(client, limit_bytes=30) == []
    assert docker_volumes.trim(client, keep=oldest.name, limit_bytes=20) == [middle.name]
    assert {kept.name for kept in docker_volumes.all_kept(client)} == {oldest.name, newest.name}
    with pytest.raises(docker.errors.NotFound):
        client.volumes.get(middle.volume)


def test_cleaning_the_cache_removes_kept_volumes(
    client: Any, cache: list[docker_volumes.Kept]
) -> None:
    assert len(cache) == 3
    assert "in Docker" in clean_cache()
    assert docker_volumes.all_kept(client) == []


def test_another_process_attaches_and_restarts(opened: Services) -> None:
    attach_and_restart(opened)
    attached = attach_services(opened.share())
    assert attached.postgres.address == opened.postgres.address
    attached.close()
    opened.postgres.restart()
    assert scalar(opened.postgres.conninfo(), "SELECT 1") == 1


def test_close_in_a_forked_child_leaves_the_parents_servers_alone(opened: Services) -> None:
    child = os.fork()
    if child == 0:
        opened.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert scalar(opened.postgres.conninfo(), "SELECT 1") == 1


def test_a_taken_port_is_passed_over(docker_images: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]

        def ports() -> Iterator[int]:
            yield taken
            yield from free_ports()

        monkeypatch.setattr("perflab.services.docker.containers.free_ports", ports)
        with open_services("docker", only={"redis"}) as services:
            assert services.redis.port != taken
            with redis.Redis.from_url(services.redis.url()) as connection:
                assert connection.ping()


def test_bad_setting_is_named_and_nothing_is_left(client: Any, docker_images: None) -> None:
    settings = PostgresSettings(shared_buffers_mb=32, extra={"work_memory": "4MB"})
    with pytest.raises(ServiceError, match="work_memory"):
        open_services("docker", settings=settings, only={"postgres"})
    named = {"name": f"perflab-{os.getpid()}-"}
    left = client.containers.list(all=True, filters=named)
    assert not [container for container in left if container.status != "running"]


def test_an_image_without_postgres_is_named(
    docker_images: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PERFLAB_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PERFLAB_POSTGRES_IMAGE", os.environ["PERFLAB_REDIS_IMAGE"])
    with pytest.raises(ServiceError, match="holds no PostgreSQL"):
        open_services("docker", only={"postgres"})


def test_no_password_in_inspect_command_lines_logs_or_representations(
    client: Any, opened: Services
) -> None:
    postgres, server = opened.postgres, opened.redis
    postgres.restart()
    secrets = [postgres.address.password, server.address.password]
    said = [repr(thing) for thing in (opened, postgres, server, postgres.address, server.address)]
    said += [repr(postgres_control(opened).site), str(opened.notes), str(dict(postgres.settings))]
    for container in containers(client, opened):
        container.reload()
        said += [json.dumps(container.attrs), container.logs().decode()]
    for volume in client.volumes.list():
        said.append(json.dumps(volume.attrs))
    said.append(subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True).stdout)
    with psycopg.connect(postgres.conninfo(), autocommit=True) as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        said += [row[0] for row in conn.execute("SELECT query FROM pg_stat_statements")]
    assert not [text for secret in secrets for text in said if secret in text]
    assert all(len(secret) >= 32 for secret in secrets)


def test_close_removes_what_was_made(client: Any, docker_images: None) -> None:
    services = open_services("docker", only={"redis"})
    site = redis_control(services).site
    assert client.containers.get(site.container)
    services.close()
    services.close()
    with pytest.raises(docker.errors.NotFound):
        client.containers.get(site.container)
    assert Place(site.home).has_ended
    with pytest.raises(ServiceError, match="has ended; open services again"):
        services.redis.restart()
