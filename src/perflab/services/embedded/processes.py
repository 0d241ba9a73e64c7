"""Server processes: started in sessions of their own, and stopped for certain."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from perflab.services import warden
from perflab.services.account import Account
from perflab.services.errors import ServiceError

_POLL_S = 0.01
_PREFIX = re.compile(r"^\S+ \S+ \S+ \[\d+\] (LOG:  )?")
"""Time and process id before each message of PostgreSQL."""


def _environment() -> dict[str, str]:
    """What a server gets to see: nothing of the user's own settings, and no secret."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def spawn(
    argv: Sequence[str], account: Account, *, cwd: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Start a server; its output goes to the end of ``log``, which only the lab's owner reads."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            cwd=cwd,
            env=_environment(),
            start_new_session=True,  # Ctrl-C in a terminal or a notebook must not reach it
            **account.run_as(),
        )
    except OSError as error:
        raise _cannot_start(argv[0], account, error) from error
    finally:
        os.close(handle)


def run(argv: Sequence[str], account: Account, *, cwd: Path, limit_s: float) -> str:
    """Run a program to its end; its output, or a ServiceError with its complaint."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=cwd,
            env=_environment(),
            start_new_session=True,
            timeout=limit_s,
            check=False,
            **account.run_as(),
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(f"{argv[0]} did not end within {limit_s:.0f} s") from None
    except OSError as error:
        raise _cannot_start(argv[0], account, error) from error
    if done.returncode != 0:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = next((line for line in said if "error" in line.lower()), (said or ["?"])[-1])
        raise ServiceError(f"{argv[0]} failed: {reason.strip()}")
    return done.stdout


def _cannot_start(program: str, account: Account, error: OSError) -> ServiceError:
    return ServiceError(
        f"{program} could not be started as the user {account.name}: {error.strerror or error}"
    )


def size_bytes(log: Path) -> int:
    """How long a log is now; what comes later belongs to the next start."""
    return log.stat().st_size if log.exists() else 0


def complaint(log: Path, since_bytes: int) -> str:
    """What a log says went wrong since a position, as one line.

    That is the last fatal message and the line before it, which often has the cause; without a
    fatal message the last line.
    """
    try:
        text = log.read_bytes()[since_bytes:].decode(errors="replace")
    except OSError:
        return "it wrote no log"
    lines = [_PREFIX.sub("", line).strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "its log is empty"
    fatal = [n for n, line in enumerate(lines) if re.search("FATAL|PANIC|Fatal", line)]
    last = fatal[-1] if fatal else len(lines) - 1
    return " ".join(lines[max(0, last - 1) : last + 1] if fatal else lines[last:])


def wait_until(true: Callable[[], bool], limit_s: float) -> bool:
    """Whether ``true()`` became so within the limit."""
    end = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def stop(
    home: Path,
    names: frozenset[str],
    main_pid: int,
    steps: Sequence[tuple[signal.Signals, float]],
) -> None:
    """End the server in ``home`` whose processes are called one of ``names``.

    ``steps`` are the signals to send in turn, with the seconds each may take.

    ``main_pid`` (0: unknown) gets the signals; when it is gone the others, which notice that by
    themselves, get the last step's time, and are killed after it.
    """

    def others() -> dict[int, warden.Stat | None]:
        return warden.inhabitants(str(home), names)

    for number, limit_s in steps:
        if not main_pid or not warden.is_alive(main_pid):
            break
        warden.send(main_pid, number)
        wait_until(lambda: not warden.is_alive(main_pid), limit_s)
    if not wait_until(lambda: not others(), steps[-1][1]):
        for pid in others():
            warden.send(pid, signal.SIGKILL)
        if not wait_until(lambda: not others(), 5.0):
            raise ServiceError(f"the server in {home} does not end, not even when killed")
