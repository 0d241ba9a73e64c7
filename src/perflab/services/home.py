"""The temporary folder of one lab: made and, in every case, removed by a watchdog process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from perflab.services import warden
from perflab.services.account import Account
from perflab.services.errors import ServiceError

_NAME = re.compile(r"perflab-(?P<pid>\d+)-(?P<started>\d+)-[0-9a-f]{8}")
_STOP_S = warden.LIMIT_S + 5
_HALF_MADE_S = 60.0
_SOCKET_PATH_BYTES = 103
"""sockaddr_un.sun_path with its closing zero: 108 bytes on Linux, 104 elsewhere."""


class Home:
    """A folder that lasts until ``close()``, at most as long as this process or a reference to it.

    The watchdog makes the folder, so there is no moment at which it exists unwatched.
    """

    def __init__(self, account: Account) -> None:
        owner = os.getpid()
        name = f"perflab-{owner}-{warden.started(owner)}-{secrets.token_hex(4)}"
        self.path = Path(tempfile.gettempdir()).resolve() / name
        _check_place(self.path, account)
        watchdog = _start_warden(self.path, owner)
        self._end = weakref.finalize(self, _end, self.path, owner, watchdog)
        if account.switched:
            # the servers' user passes through, and nobody lists what is in there
            os.chown(self.path, -1, account.gid)
            self.path.chmod(0o710)

    @property
    def is_open(self) -> bool:
        """Whether ``close()`` has not been called."""
        return self._end.alive

    def close(self) -> None:
        """Stop every server in the folder and remove it; a second call does nothing.

        In a forked child this does nothing: the folder belongs to the parent.
        """
        self._end()


@contextlib.contextmanager
def only_one(home: str) -> Iterator[None]:
    """Keep other processes from starting or stopping servers of the same lab meanwhile.

    A lock of the process (lockf), which a forked child does not inherit.
    """
    try:
        file = (Path(home) / "lock").open("a")
    except OSError:
        raise ServiceError(f"the lab that owned {home} has ended; open services again") from None
    with file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def _check_place(path: Path, account: Account) -> None:
    parent = path.parent
    if not account.may_enter(parent):
        raise ServiceError(
            f"the temporary folder {parent} cannot be entered by the user {account.name},"
            " which the servers run as; set TMPDIR to a folder that it can enter"
        )
    if len(os.fsencode(path / "pg" / ".s.PGSQL.65535")) > _SOCKET_PATH_BYTES:
        raise ServiceError(
            f"the path of the temporary folder {parent} is too long for PostgreSQL's socket;"
            " set TMPDIR to a shorter one"
        )


def _start_warden(path: Path, owner: int) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-I", "-S", str(Path(warden.__file__))]
    watchdog = subprocess.Popen(
        [*program, str(path), str(owner)],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # Ctrl-C in a terminal or a notebook must not reach it
    )
    assert watchdog.stdout is not None  # noqa: S101 - Popen was asked for a pipe
    with watchdog.stdout as answers:
        answer = answers.read().decode(errors="replace")
    if answer != "ready":
        watchdog.kill()
        watchdog.wait()
        raise ServiceError(
            f"the folder {path} could not be made: {answer or 'the watchdog ended early'};"
            " set TMPDIR to a folder that can be written to"
        )
    return watchdog


def _end(path: Path, owner: int, watchdog: subprocess.Popen[bytes]) -> None:
    """Have the watchdog clean up; if it was killed, do its work here."""
    if os.getpid() != owner:
        return
    assert watchdog.stdin is not None  # noqa: S101 - Popen was asked for a pipe
    try:
        # a byte, not only the end of the file: a forked child may hold the pipe open
        watchdog.stdin.write(b"x")
        watchdog.stdin.close()
        watchdog.wait(_STOP_S)
    except (OSError, subprocess.TimeoutExpired):
        watchdog.kill()
        watchdog.wait()
    if path.exists() and not warden.clean(str(path)):
        raise ServiceError(f"the folder {path} could not be removed; remove it by hand")


def sweep(parent: Path | None = None) -> tuple[Path, ...]:
    """Remove the folders of labs whose process is dead, servers included; returns them.

    Only folders of this user, made on this boot in this process-id namespace or on an earlier
    boot: a process id of another container says nothing here.
    """
    folders = (parent or Path(tempfile.gettempdir()).resolve()).glob("perflab-*")
    return tuple(path for path in folders if _is_stale(path) and warden.clean(str(path)))


def _is_stale(folder: Path) -> bool:
    name = _NAME.fullmatch(folder.name)
    try:
        found = folder.lstat()
    except OSError:
        return False
    if not name or folder.is_symlink() or found.st_uid != os.geteuid():
        return False
    try:
        made_on = (folder / "machine").read_text(encoding="ascii")
    except OSError:
        # its watchdog is about to write the file, or was killed before it could
        return time.time() - found.st_mtime > _HALF_MADE_S
    here = warden.machine()
    if made_on != here:
        return made_on.split()[0] != here.split()[0]
    owner = int(name["pid"])
    return not (warden.is_alive(owner) and warden.started(owner) == int(name["started"]))
