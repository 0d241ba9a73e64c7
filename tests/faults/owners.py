"""Processes that open services, to be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

LIMIT_S = 10.0
POLL_S = 0.02

STAY = "time.sleep(600)\n"
HEARING = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
"""Whoever starts the tests may ignore signals, as nohup does, and children would too."""
ATTACH = """
import sys, time
from pathlib import Path
from perflab.services import ServiceError, attach_services
services = attach_services(Path(sys.argv[1]))
"""
RESTART_BOTH = """
try:
    while True:
        services.postgres.restart('immediate'); services.redis.restart()
        print(1, flush=True)
except ServiceError as error:
    print(error, flush=True)
"""
RESTART_EDGE = """
task = f"server {{ listen {services.edge.host}:{services.edge.port}; return 204; }}"
while True:
    services.edge.restart(); print("restarted", flush=True)
    services.edge.serve(task); print("served", flush=True)
    services.edge.stop(kill=True); print("killed", flush=True)
"""


def until(true: Callable[[], object], limit_s: float = LIMIT_S) -> bool:
    end = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


def homes_of(pid: int) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"perflab-{pid}-*"))


def watchdog_of(owner: int, home: str = "") -> psutil.Process:
    """The watchdog that a process started, for the folder of this name where it has several."""
    for child in psutil.Process(owner).children():
        with suppress(psutil.Error):  # a child that has ended has no command line
            line = " ".join(child.cmdline())
            if "warden.py" in line and home in line:
                return child
    raise AssertionError(f"process {owner} has no watchdog {home}")


def attached(share: Path, program: str) -> subprocess.Popen[str]:
    """A process that attaches to shared services and does something with them."""
    return subprocess.Popen(
        [sys.executable, "-c", ATTACH + program, share], stdout=subprocess.PIPE, text=True
    )


class Owner:
    """A process that opened services."""

    def __init__(self, program: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HEARING + program],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def share(self) -> Path:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "the owner ended before it had opened services"
        return Path(line)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def watchdog(self) -> psutil.Process:
        return watchdog_of(self.process.pid)
