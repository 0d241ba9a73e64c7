"""An embedded Redis or Valkey: configured, started, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import msgspec

from perflab.services import warden
from perflab.services.account import Account
from perflab.services.embedded.binaries import Binaries
from perflab.services.embedded.copies import hand_over
from perflab.services.embedded.processes import complaint, size_bytes, spawn, stop, wait_until
from perflab.services.errors import ServiceError
from perflab.services.home import only_one
from perflab.services.ports import free_ports, is_free

HOST = "127.0.0.1"
_READY_S = 10.0
_PORT_TRIES = 5
_STOP = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


class RedisSite(msgspec.Struct, frozen=True):
    """Where an embedded Redis lives: enough for any process of the same user to restart it."""

    home: str
    port: int
    account: Account
    binaries: Binaries

    @property
    def folder(self) -> Path:
        """Its configuration and process id."""
        return Path(self.home) / "redis"

    @property
    def log(self) -> Path:
        """The server's log."""
        return Path(self.home) / "redis.log"

    @property
    def main_pid(self) -> int:
        """The process id of the running server, 0 if none is known to run here."""
        found = warden.inhabitants(self.home, warden.REDIS_NAMES)
        return next(iter(found), 0)


class EmbeddedRedis:
    """Restarts the Redis of a site."""

    def __init__(self, site: RedisSite, password: str, holding: object = None) -> None:
        self.site = site
        self._password = password
        self._holding = holding  # the lab's folder lasts while its server is referred to
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start the server and wait until it answers; a ServiceError says why not."""
        site = self.site
        if not site.folder.is_dir():
            raise ServiceError(f"the lab that owned {site.home} has ended; open services again")
        argv = [site.binaries.path, str(site.folder / "redis.conf")]
        written_bytes = size_bytes(site.log)
        process = spawn(argv, site.account, cwd=site.folder, log=site.log)
        self._process = process

        def settled() -> bool:
            return process.poll() is not None or _answers(site.port, self._password)

        if not wait_until(settled, _READY_S) or process.poll() is not None:
            self.halt()
            flavour, said = site.binaries.flavour.title(), complaint(site.log, written_bytes)
            raise ServiceError(f"{flavour} did not start: {said}")

    def halt(self) -> None:
        """Stop the server, whoever started it."""
        stop(Path(self.site.home), warden.REDIS_NAMES, self.site.main_pid, _STOP)
        if self._process is not None:
            self._process.poll()  # so that it does not stay a zombie

    def restart(self) -> None:
        """Stop and start again, same port, empty."""
        with self._lock, only_one(self.site.home):
            self.halt()
            self.launch()


def start_redis(
    home: Path, account: Account, binaries: Binaries, password: str, holding: object = None
) -> EmbeddedRedis:
    """A running Redis in ``home``."""
    ports = free_ports()
    for attempt in range(_PORT_TRIES):
        site = RedisSite(home=str(home), port=next(ports), account=account, binaries=binaries)
        _write_config(site, password)
        server = EmbeddedRedis(site, password, holding)
        try:
            server.launch()
        except ServiceError:
            # lost the race for the port, or a trouble that another port does not cure
            if is_free(site.port) or attempt == _PORT_TRIES - 1:
                raise
            site.log.unlink(missing_ok=True)
        else:
            return server
    raise ServiceError("no free port found for Redis")


def _write_config(site: RedisSite, password: str) -> None:
    """A configuration file, because a password on the command line is there for all to read."""
    settings = {
        "bind": HOST,
        "port": str(site.port),
        "requirepass": password,
        "save": '""',
        "appendonly": "no",
        "daemonize": "no",
        "dir": str(site.folder),
        "pidfile": str(site.folder / "pid"),
    }
    if _titles_can_be_set(site.binaries):
        # the folder in the process title, so that the watchdog finds the process
        settings["proc-title-template"] = '"{title} {listen-addr} {config-file}"'
    site.folder.mkdir(mode=0o700, exist_ok=True)
    config = site.folder / "redis.conf"
    config.unlink(missing_ok=True)
    handle = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.writelines(f"{name} {value}\n" for name, value in settings.items())
    hand_over(site.folder, site.account)


def _titles_can_be_set(binaries: Binaries) -> bool:
    """proc-title-template came with Redis 6.2."""
    major, minor = ([*binaries.version.split("."), "0", "0"])[:2]
    return binaries.flavour == "valkey" or (int(major), int(minor)) >= (6, 2)


def _answers(port: int, password: str) -> bool:
    """Whether our server answers there; another one would not know our password."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as conn:
            conn.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            said = b""
            while said.count(b"\r\n") < 2:
                part = conn.recv(256)
                if not part:
                    return False
                said += part
    except OSError:
        return False
    return said == b"+OK\r\n+PONG\r\n"
