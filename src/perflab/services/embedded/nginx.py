"""An embedded nginx: started and stopped."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perflab.services import warden
from perflab.services.account import Account
from perflab.services.embedded.binaries import Binaries
from perflab.services.embedded.processes import size_bytes, spawn, stop
from perflab.services.errors import ServiceError
from perflab.services.nginx import NginxServer, NginxSite

NAMES: Final = warden.NGINX_NAMES
_CHECK_S = 10.0
_STOP = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


class EmbeddedNginx(NginxServer):
    """The nginx of a site, as a process of this machine."""

    def __init__(self, site: NginxSite, binaries: Binaries, holding: object = None) -> None:
        super().__init__(site, holding)
        self._program = binaries.path
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before_bytes = 0

    @property
    def _log(self) -> Path:
        return Path(self.site.home) / "edge.log"

    def halt(self, *, kill: bool = False) -> None:
        """Stop the server, whoever started it; ``kill`` leaves it no time."""
        home = self.site.home
        main_pid = self.site.main_pid
        found = warden.inhabitants(home, NAMES)
        for pid, seen in found.items():
            if kill:
                warden.send(pid, signal.SIGKILL)
            elif seen is not None and seen.parent not in found:
                # a worker, too, whose master was killed: nobody else tells it to end
                warden.send(pid, signal.SIGTERM)
        stop(Path(home), NAMES, main_pid, _STOP)
        if self._process is not None:
            self._process.poll()  # so that it does not stay a zombie

    def _start(self) -> None:
        self._said_before_bytes = size_bytes(self._log)
        self._process = self._spawn(self.site.arguments(), self._log)

    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _said(self) -> str:
        return _text(self._log, self._said_before_bytes)

    def _refusal(self, config: str) -> str:
        log = Path(self.site.home) / "edge-check.log"
        process = self._spawn([*self.site.arguments(config), "-t", "-q"], log)
        try:
            return _text(log) if process.wait(_CHECK_S) else ""
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServiceError("nginx did not check its configuration in time") from None
        finally:
            log.unlink(missing_ok=True)

    def _spawn(self, arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        site = self.site
        return spawn([self._program, *arguments], site.account, cwd=site.folder, log=log)


def start_nginx(
    home: Path, account: Account, binaries: Binaries, *, workers: int = 1, holding: object = None
) -> EmbeddedNginx:
    """A running nginx in ``home`` that answers 503 until ``serve`` gives it something to do."""
    server = EmbeddedNginx(NginxSite(str(home), 0, account, workers), binaries, holding)
    server.open()
    return server


def _text(log: Path, since_bytes: int = 0) -> str:
    return log.read_bytes()[since_bytes:].decode(errors="replace") if log.exists() else ""
