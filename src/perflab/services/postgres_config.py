"""The settings of an embedded PostgreSQL, and why each is what it is."""

from __future__ import annotations

import getpass
import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from perflab.services.addresses import PostgresSettings
from perflab.services.errors import ServiceError

ROLE = "perflab"
_PRELOAD = ("pg_stat_statements", "auto_explain")
_RESERVED = frozenset(
    {
        "cluster_name",
        "config_file",
        "data_directory",
        "external_pid_file",
        "hba_file",
        "ident_file",
        "listen_addresses",
        "log_destination",
        "logging_collector",
        "password_encryption",
        "port",
        "unix_socket_directories",
    }
)
"""Settings that keep the server findable and closed to others."""
_SMALL_SHM_BYTES = 512 * 2**20
_SHM = Path("/dev/shm")  # noqa: S108 - its size is looked at, nothing is written there


def initdb_options(server_version_num: int) -> list[str]:
    """How the data folders of the embedded rung are made."""
    options = [f"--username={ROLE}", "--auth-local=peer", "--auth-host=reject"]
    # the folder is copied and synced afterwards
    return [*options, "--no-sync", *text_options(server_version_num)]


def text_options(server_version_num: int) -> list[str]:
    """initdb's options for the same encoding and order of text on every machine.

    Code-point order everywhere, so that a query plan depends on no machine's locale. From 17 on
    the built-in C.UTF-8, which knows upper and lower case beyond ASCII.
    """
    if server_version_num >= 170000:
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    else:
        locale = ["--no-locale"]
    return ["--encoding=UTF8", *locale]


def lab_settings(wanted: PostgresSettings, library_folder: Path | None) -> dict[str, str]:
    """The settings that differ from PostgreSQL's defaults, or that a reader of a result asks for.

    They are recorded with every result, so ``extra`` must hold no secret. ``library_folder`` is
    searched for modules to preload.
    """
    taken = sorted(_RESERVED & wanted.extra.keys())
    if taken:
        raise ServiceError(
            f"PostgresSettings.extra sets {taken[0]}, which the lab decides; drop it"
        )
    settings = {
        "shared_buffers": f"{wanted.shared_buffers_mb}MB",
        # Defaults, but a benchmark has to say that it did not cheat.
        "fsync": "on",
        "synchronous_commit": "on",
        # No checkpoint falls into a timed block by chance; the lab checkpoints between them.
        "max_wal_size": "4GB",
        "checkpoint_timeout": "30min",
        "track_io_timing": "on",
        "max_connections": "200",
        # Compiling a plan takes up to a second, which would make the slow "before" arm slower
        # still; and not every build can do it, so figures would not compare.
        "jit": "off",
    }
    preload = [name for name in _PRELOAD if library_folder and _has(library_folder, name)]
    if preload:
        settings["shared_preload_libraries"] = ",".join(preload)
    if _shm_bytes() < _SMALL_SHM_BYTES:
        # Parallel queries fail where a container's /dev/shm is small (64 MB by default).
        settings["dynamic_shared_memory_type"] = "mmap"
    return settings | wanted.extra


def _has(library_folder: Path, name: str) -> bool:
    return any((library_folder / f"{name}{suffix}").exists() for suffix in (".so", ".dylib"))


def _shm_bytes() -> int:
    try:
        found = os.statvfs(_SHM)
    except OSError:
        return _SMALL_SHM_BYTES
    return found.f_blocks * found.f_frsize


def write_config(data: Path, sockets: Path, settings: Mapping[str, str]) -> None:
    """Write the configuration of a copied data folder: settings, who may connect and how."""
    place = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(sockets),
        # in every process title, so that the watchdog finds the processes of this folder
        "cluster_name": sockets.parent.name,
        "log_destination": "stderr",
        "logging_collector": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "password_encryption": "scram-sha-256",
    }
    lines = [f"{name} = {_quoted(value)}\n" for name, value in (place | dict(settings)).items()]
    (data / "postgresql.conf").write_text("".join(lines), encoding="utf-8")
    (data / "postgresql.auto.conf").write_text("", encoding="utf-8")
    (data / "pg_hba.conf").write_text(
        f"local all {ROLE} peer map=lab\nhost all all 127.0.0.1/32 scram-sha-256\n",
        encoding="utf-8",
    )
    # Peer: the kernel vouches that it is this user who connects to the local socket.
    (data / "pg_ident.conf").write_text(f'lab "{_own_name()}" {ROLE}\n', encoding="utf-8")


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return getpass.getuser()


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
