"""The embedded PostgreSQL: closed to others, kept over restarts, copied as a template."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from perflab.services import PostgresSettings, ServiceError, Services, open_services
from perflab.services.embedded.kept import kept_folder
from perflab.services.embedded.postgres import EmbeddedPostgres
from perflab.services.ports import ephemeral_bound

KEPT = "kept by a test"
SMALL = PostgresSettings(shared_buffers_mb=32)


def control(services: Services) -> EmbeddedPostgres:
    found = services.postgres.control
    assert isinstance(found, EmbeddedPostgres)
    return found


def scalar(conninfo: str, query: str) -> object:
    with psycopg.connect(conninfo) as conn:
        row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def listening_on(port: int) -> set[str]:
    connections = psutil.net_connections("tcp")
    addresses = [conn.laddr for conn in connections if conn.status == psutil.CONN_LISTEN]
    return {address[0] for address in addresses if address and address[1] == port}


def test_says_its_version_and_settings(own_services: Services) -> None:
    postgres = own_services.postgres
    assert postgres.rung == "embedded"
    assert postgres.owned
    assert scalar(postgres.conninfo(), "SHOW server_version_num") == str(postgres.version_num)
    with psycopg.connect(postgres.conninfo()) as conn:
        for name, value in postgres.settings.items():
            row = conn.execute("SELECT current_setting(%s)", [name]).fetchone()
            assert row == (value,), name
    assert postgres.settings["shared_buffers"] == "32MB"
    assert postgres.settings["fsync"] == "on"


def test_statement_statistics_and_plan_logging_are_loaded(own_services: Services) -> None:
    with psycopg.connect(own_services.postgres.conninfo(), autocommit=True) as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        conn.execute("CREATE EXTENSION IF NOT EXISTS pg_buffercache")
        assert conn.execute("SELECT count(*) FROM pg_stat_statements").fetchone()
        assert conn.execute("SHOW auto_explain.log_min_duration").fetchone() == ("-1",)


@pytest.mark.parametrize("password", ["wrong", ""])
def test_refuses_a_wrong_or_missing_password(own_services: Services, password: str) -> None:
    conninfo = make_conninfo(own_services.postgres.conninfo(), password=password)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(conninfo)


def test_listens_on_loopback_only_below_the_ports_of_outgoing_connections(
    own_services: Services,
) -> None:
    for port in (own_services.postgres.port, own_services.redis.port):
        assert listening_on(port) == {"127.0.0.1"}
        assert 1024 < port < ephemeral_bound()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root switches to another user")
def test_root_runs_servers_as_another_user(own_services: Services) -> None:
    home = Path(control(own_services).site.home)
    servers = [process for process in psutil.process_iter() if home.name in _title(process)]
    names = {server.name() for server in servers} - {Path(sys.executable).resolve().name}
    assert names >= {"postgres"}
    for server in servers:
        is_watchdog = "warden.py" in _title(server)
        assert (server.uids().real == 0) == is_watchdog
        assert is_watchdog or 0 not in _groups(server.pid)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _groups(pid: int) -> set[int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {
        int(group) for line in lines if line.startswith("Groups:") for group in line.split()[1:]
    }


def test_nobody_else_can_look_into_the_folder(own_services: Services) -> None:
    site = control(own_services).site
    assert Path(site.home).stat().st_mode & 0o007 == 0
    assert site.sockets.stat().st_mode & 0o077 == 0
    assert site.data.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_keeps_data_and_address(own_services: Services, mode: str) -> None:
    postgres = own_services.postgres
    before = postgres.conninfo()
    with psycopg.connect(before) as conn:
        conn.execute(f"CREATE TABLE kept_{mode} AS SELECT 41 AS n")
    postgres.restart("fast" if mode == "fast" else "immediate")
    assert postgres.conninfo() == before
    assert scalar(before, f"SELECT n FROM kept_{mode}") == 41


def test_fast_restart_does_not_wait_for_open_sessions(own_services: Services) -> None:
    postgres = own_services.postgres
    with psycopg.connect(postgres.conninfo()) as conn:
        conn.execute("SELECT 1")
        postgres.restart()
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")


def test_restart_brings_back_a_server_that_was_killed(own_services: Services) -> None:
    postgres = own_services.postgres
    os.kill(control(own_services).site.main_pid, signal.SIGKILL)
    postgres.restart()
    assert scalar(postgres.conninfo(), "SELECT 1") == 1


@pytest.fixture
def kept(own_services: Services) -> Iterator[Path]:
    """The folder in which data kept under the name KEPT lies; removed after the test."""
    folder = kept_folder(own_services.postgres.build, KEPT)
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_kept_data_starts_a_server_with_the_same_data_and_another_password(
    own_services: Services, kept: Path
) -> None:
    postgres = own_services.postgres
    with psycopg.connect(postgres.conninfo()) as conn:
        conn.execute("CREATE TABLE carried AS SELECT generate_series(1, 1000) AS n")
    assert postgres.keep(KEPT)
    assert scalar(postgres.conninfo(), "SELECT count(*) FROM carried") == 1000
    assert kept.stat().st_mode & 0o077 == 0
    assert kept.stat().st_uid == os.geteuid()
    assert len([path for path in (kept / "pg_wal").iterdir() if path.is_file()]) == 1

    with open_services("embedded", settings=SMALL, template=KEPT, only={"postgres"}) as second:
        assert scalar(second.postgres.conninfo(), "SELECT count(*) FROM carried") == 1000
        foreign = make_conninfo(postgres.conninfo(), port=second.postgres.port)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(foreign)
        with psycopg.connect(second.postgres.conninfo()) as conn:
            conn.execute("CREATE TABLE only_in_the_copy ()")
    assert not list(kept.glob("postmaster.*"))


def test_kept_data_of_another_major_version_is_refused(kept: Path) -> None:
    kept.mkdir(parents=True)
    (kept / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServiceError, match=r"made by PostgreSQL 9 and the lab's is .* remove it"):
        open_services("embedded", template=KEPT, only={"postgres"})


def test_kept_data_that_is_no_data_folder_is_refused(kept: Path) -> None:
    kept.mkdir(parents=True)
    with pytest.raises(ServiceError, match="no PostgreSQL data folder"):
        open_services("embedded", template=KEPT, only={"postgres"})


def test_bad_setting_is_named() -> None:
    settings = PostgresSettings(shared_buffers_mb=32, extra={"work_memory": "4MB"})
    with pytest.raises(ServiceError, match="work_memory"):
        open_services("embedded", settings=settings, only={"postgres"})


def test_settings_that_would_open_the_server_are_refused() -> None:
    settings = PostgresSettings(extra={"listen_addresses": "*"})
    with pytest.raises(ServiceError, match="listen_addresses, which the lab decides"):
        open_services("embedded", settings=settings, only={"postgres"})


def test_extra_settings_reach_the_server() -> None:
    settings = PostgresSettings(shared_buffers_mb=32, extra={"work_mem": "7MB"})
    with open_services("embedded", settings=settings, only={"postgres"}) as services:
        assert services.postgres.settings["work_mem"] == "7MB"
        assert scalar(services.postgres.conninfo(), "SHOW work_mem") == "7MB"


def test_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        tried = [taken, taken]

        def ports() -> object:
            yield taken
            from perflab.services.ports import free_ports

            yield from free_ports()

        for module in ("postgres", "redis"):
            monkeypatch.setattr(f"perflab.services.embedded.{module}.free_ports", ports)
        with open_services("embedded", settings=SMALL) as services:
            assert services.postgres.port not in tried
            assert services.redis.port not in tried
            assert scalar(services.postgres.conninfo(), "SELECT 1") == 1


def test_no_password_in_command_lines_environments_logs_or_representations(
    own_services: Services,
) -> None:
    postgres, redis = own_services.postgres, own_services.redis
    postgres.restart()
    secrets = [postgres.address.password, redis.address.password]
    home = Path(control(own_services).site.home)
    said = [repr(thing) for thing in (own_services, postgres, redis)]
    said += [repr(thing) for thing in (postgres.address, redis.address, control(own_services).site)]
    said += [str(own_services.notes), str(dict(postgres.settings))]
    said += [path.read_text() for path in home.glob("*.log")]
    said.append(subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True).stdout)
    with psycopg.connect(postgres.conninfo(), autocommit=True) as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        said += [row[0] for row in conn.execute("SELECT query FROM pg_stat_statements")]
    for secret in secrets:
        assert len(secret) >= 32
        assert not [text for text in said if secret in text]
