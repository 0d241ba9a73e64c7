"""Where the tests' servers live: in memory where there is room, and each test process apart.

A start copies a thousand files and a stop removes them; on a disk that is most of their time.
Apart, since whoever opens services removes what dead labs left in the same temporary folder: a
test that leaves something there on purpose must find it again.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from perflab.services.warden import is_alive

MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 2**30


def pytest_configure(config: pytest.Config) -> None:
    """Give this process a temporary folder of its own; pytest's own stays where it was."""
    if sys.platform != "linux" or config.getoption("numprocesses", None):
        return  # elsewhere a longer path leaves no room for a socket's; workers have their own
    usual = tempfile.gettempdir()
    parent = _parent(usual)
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"tests-{os.getpid()}-", dir=parent))
    folder.chmod(0o755)  # the servers' user passes through
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", usual)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def _parent(usual: str) -> Path:
    """Memory, unless the caller chose a place or programs cannot be run or have no room there."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return Path(usual)
    found = os.statvfs(MEMORY)
    room = found.f_bavail * found.f_frsize >= ROOM_BYTES
    return MEMORY if room and not found.f_flag & os.ST_NOEXEC else Path(usual)


def _remove_abandoned(parent: Path) -> None:
    """Of test processes that were killed; the watchdogs have emptied them by then."""
    for folder in parent.glob("tests-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdecimal() and not is_alive(int(pid)):
            with suppress(OSError):
                folder.rmdir()
