"""An nginx of the lab as every rung keeps it: its folder, its configuration, what it serves.

What it serves is handed in as a text for its ``http`` block, such as
``perflab.cache.edge.nginx_config`` makes; this module knows only how to keep a server.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

import msgspec

from perflab.services import warden
from perflab.services.account import Account
from perflab.services.embedded.processes import wait_until
from perflab.services.errors import ServiceError
from perflab.services.home import only_one
from perflab.services.ports import free_ports, is_free

HOST: Final = "127.0.0.1"
OLDEST: Final = (1, 20)
"""The option ``-e`` came with 1.19.5; without it nginx opens the system's own log."""
_READY_S = 10.0
_PORT_TRIES = 5
_EMERGENCY = re.compile(r"\[emerg\] (?:\d+#\d+: )?(?P<reason>.*)")
_VERSION = re.compile(r"nginx version: \S+?/(?P<version>\d+\.\d+\S*)")
_NUMBERS = re.compile(r"(\d+)\.(\d+)")

_FRAME = """\
daemon off;
pid "{folder}/pid";
error_log stderr warn;
worker_processes {workers};
events {{
    worker_connections 2048;
}}
http {{
    access_log off;
    server_tokens off;
    client_body_temp_path "{folder}/body";
    proxy_temp_path "{folder}/proxy";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";
    server {{
        listen unix:{folder}/alive;
        return 204;
    }}
    include "{folder}/{served}";
}}
"""
"""The lab's own server on a socket in its folder answers only when every port could be bound."""

_IDLE = """\
server {{
    listen {host}:{port};
    return 503;
}}
"""


class NginxSite(msgspec.Struct, frozen=True):
    """Where an nginx of the lab lives."""

    home: str
    port: int
    account: Account
    """Whom it runs as; its folder is this account's."""
    workers: int = 1

    @property
    def folder(self) -> Path:
        """Its configuration, process id and temporary files."""
        return Path(self.home) / "edge"

    @property
    def cache(self) -> Path:
        """Where what it serves may keep cached files; emptied when that changes."""
        return self.folder / "cache"

    @property
    def main_pid(self) -> int:
        """The process id of the running master, 0 if none is known to run here."""
        found = warden.inhabitants(self.home, warden.NGINX_NAMES)
        masters = [pid for pid, seen in found.items() if not seen or seen.parent not in found]
        return next(iter(masters), 0)

    def arguments(self, config: str = "main") -> list[str]:
        """The arguments of the program, for a configuration in the folder."""
        # the folder in the command line, so that the watchdog finds the process
        return ["-p", f"{self.folder}/", "-c", f"{self.folder}/{config}.conf", "-e", "stderr"]


class NginxServer(ABC):
    """Keeps the nginx of a site: a rung says how it is started, stopped and listened to."""

    def __init__(self, site: NginxSite, holding: object = None) -> None:
        self.site = site
        self._holding = holding  # the lab's folder lasts while its server is referred to
        self._lock = threading.Lock()
        self._served = ""
        """What is served; kept here, since the file is in a folder that is another user's."""

    @abstractmethod
    def halt(self, *, kill: bool = False) -> None:
        """Stop the server, whoever started it; ``kill`` leaves it no time."""

    @abstractmethod
    def _start(self) -> None:
        """Start the server, and wait for nothing."""

    @abstractmethod
    def _runs(self) -> bool:
        """Whether the server that was started last is still there."""

    @abstractmethod
    def _said(self) -> str:
        """What the server wrote since it was started last."""

    @abstractmethod
    def _refusal(self, config: str) -> str:
        """What nginx writes against a configuration in the folder; empty if nothing.

        The server runs meanwhile.
        """

    def open(self) -> None:
        """Start on a free port, and answer 503 there until ``serve`` gives something to do."""
        self.site.folder.mkdir(mode=0o700, exist_ok=True)
        for attempt, port in enumerate(free_ports(), start=1):
            self.site = msgspec.structs.replace(self.site, port=port)
            self._served = _IDLE.format(host=HOST, port=port)
            self._write("main", self._served)
            self._empty()
            try:
                self.launch()
            except ServiceError:
                # lost the race for the port, or a trouble that another port does not cure
                if is_free(port) or attempt == _PORT_TRIES:
                    raise
            else:
                return

    def launch(self) -> None:
        """Start the server and wait until it listens; a ServiceError says why not."""
        alive = self.site.folder / "alive"
        alive.unlink(missing_ok=True)  # a killed server leaves it behind, in its successor's way
        self._start()
        settled = wait_until(lambda: _answers(alive) or not self._runs(), _READY_S)
        if not settled or not self._runs():
            said = self._said()
            self.halt()
            raise ServiceError(f"nginx did not start: {complaint(said)}")

    def restart(self) -> None:
        """Stop and start again: same port, same configuration; what was cached stays."""
        with self._lock, only_one(self.site.home):
            self.halt()
            self.launch()

    def stop(self, *, kill: bool = False) -> None:
        """Stop the server until ``restart`` or ``serve``; ``kill`` leaves it no time."""
        with self._lock, only_one(self.site.home):
            self.halt(kill=kill)

    def serve(self, text: str) -> None:
        """Serve what ``text`` says from now on: directives for the ``http`` block.

        It must listen on ``site.port`` and may keep files in ``site.cache``, which is emptied.
        The server is restarted. A ServiceError names what nginx finds wrong with it; the
        server goes on as before then, with an empty cache where nginx saw it only in starting
        (a port that another server has).
        """
        with self._lock, only_one(self.site.home):
            if not self._runs():
                self.halt()  # the workers of a master that was killed
                self.launch()
            self._check(text)
            self.halt()
            self._empty()
            self._write("main", text)
            try:
                self.launch()
            except ServiceError:
                self._write("main", self._served)
                self.launch()
                raise
            self._served = text

    def _check(self, text: str) -> None:
        """Have nginx read ``text``; a ServiceError says what it finds wrong."""
        tried = self._write("tried", text)
        try:
            said = self._refusal("tried")
        finally:
            for path in tried:
                path.unlink(missing_ok=True)
        if said:
            raise ServiceError(f"nginx refuses the configuration: {complaint(said)}")

    def _write(self, name: str, text: str) -> tuple[Path, Path]:
        """A configuration called ``name`` that includes ``text``: where both were put."""
        folder = self.site.folder
        config, served = folder / f"{name}.conf", folder / f"{name}.http"
        frame = _FRAME.format(folder=folder, workers=self.site.workers, served=served.name)
        for path, content in ((config, frame), (served, text)):
            # anew: in a folder that is another user's the name could be a link by now
            path.unlink(missing_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
                self._give(file.fileno())
        self._give(folder)
        return config, served

    def _empty(self) -> None:
        """Make the cache's folder, empty and the server's own."""
        cache = self.site.cache
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(mode=0o700)
        self._give(cache)

    def _give(self, path: Path | int) -> None:
        account = self.site.account
        if not account.switched:
            return
        if isinstance(path, int):
            os.fchown(path, account.uid, account.gid)
        else:
            os.lchown(path, account.uid, account.gid)  # it could be a link by now


def version_in(said: str) -> str:
    """The version that ``nginx -v`` tells, empty where it tells none."""
    found = _VERSION.search(said)
    return found["version"] if found else ""


def version_num(version: str) -> tuple[int, int]:
    """The first two numbers of a version, by which features come: 1.31.3 is (1, 31)."""
    found = _NUMBERS.match(version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def why_unusable(version: str) -> str:
    """Why the lab can do nothing with this version; empty where it can."""
    if version_num(version) >= OLDEST:
        return ""
    return f"is nginx {version}, older than {'.'.join(map(str, OLDEST))}"


def complaint(said: str) -> str:
    """Why nginx gave up, in one line: its first emergency, since the later ones follow from it."""
    found = _EMERGENCY.search(said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return found["reason"].strip() if found else (lines or ["it said nothing"])[-1]


def _answers(alive: Path) -> bool:
    """Whether the server of this folder answers on its socket."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as conn:
            conn.settimeout(1.0)
            conn.connect(os.fspath(alive))
            conn.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return conn.recv(64).startswith(b"HTTP/1.1 204 ")
    except OSError:
        return False
