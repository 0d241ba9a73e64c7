"""A watchdog process: when its owner is gone it stops the servers of one folder and removes it.

It runs as ``python -I -S warden.py FOLDER OWNER_PID`` in a session of its own, so it imports
nothing but light parts of the standard library. Its standard input is a pipe from the owner: a
byte or the end of the file means "clean up now". A forked child of the owner may hold that pipe
open, so the death of the owner itself is watched as well.

The same functions serve in the owner's process where the watchdog has been killed.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

POSTGRES_NAMES = frozenset({"postgres"})
REDIS_NAMES = frozenset({"redis-server", "valkey-server"})
NGINX_NAMES = frozenset({"nginx"})
SERVER_NAMES = POSTGRES_NAMES | REDIS_NAMES | NGINX_NAMES | {"initdb", "pg_controldata", "cp"}
"""Programs that the lab runs in its folder. Nothing else in there is ever signalled: a shell or a
pager that a person opened on a log file is not ours to end."""

GRACE_S = 2.5
LIMIT_S = 20.0
POLL_S = 0.05


class Stat:
    """The fields of ``/proc/PID/stat`` that tell one process from another."""

    def __init__(self, text: str) -> None:
        # The name stands in brackets and may hold brackets and blanks itself (proc(5)).
        name_end = text.rindex(")")
        rest = text[name_end + 2 :].split()
        self.name = text[text.index("(") + 1 : name_end]
        self.alive = rest[0] not in ("Z", "X")
        self.parent = int(rest[1])
        self.session = int(rest[3])
        self.started = int(rest[19])


def stat(pid: int) -> Stat | None:
    """What the kernel says about a process, or None where there is none (or no ``/proc``)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return Stat(file.read())
    except (OSError, ValueError):
        return None


def has_proc() -> bool:
    """Whether processes can be looked up in ``/proc``."""
    return stat(os.getpid()) is not None


def started(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 where that is not known.

    With the process id it identifies a process for as long as the machine is up.
    """
    found = stat(pid)
    return found.started if found else 0


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie, which only waits to be reaped, does not."""
    if has_proc():
        found = stat(pid)
        return found is not None and found.alive
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def inhabitants(folder: str, names: frozenset[str] = SERVER_NAMES) -> dict[int, Stat | None]:
    """The processes called one of ``names`` that work for the lab in ``folder``, by process id.

    Process titles carry the folder's name (command line, ``cluster_name``, Redis'
    ``proc-title-template``), which any user may read. The working folder is a second way; root in
    a container may not read it for another user's process. Children of a process so found belong
    to it: nginx's workers carry no name. Where their master was killed, their session tells them.
    """
    found: dict[int, Stat | None] = {}
    if not has_proc():
        files = {
            "postgres": "pg/data/postmaster.pid",
            "redis-server": "redis/pid",
            "nginx": "edge/pid",
        }
        for name in names & files.keys():
            pid = _pid_in(f"{folder}/{files[name]}")
            if pid and is_alive(pid):
                found[pid] = None
        return found
    others: dict[int, Stat] = {}
    redis = _pid_in(f"{folder}/redis/pid")
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        pid = int(entry)
        seen = stat(pid)
        if seen is None or not seen.alive or seen.name not in names:
            continue
        is_redis = pid == redis and seen.name in REDIS_NAMES
        if is_redis or _mentions(pid, folder) or _is_worker(seen, folder):
            found[pid] = seen
        else:
            others[pid] = seen
    return found | {pid: seen for pid, seen in others.items() if seen.parent in found}


def _mentions(pid: int, folder: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if os.path.basename(folder).encode() in file.read():
                return True
    except OSError:
        return False
    try:
        place = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False
    return place == folder or place.startswith(folder + "/")


def _is_worker(seen: Stat, folder: str) -> bool:
    """Whether a process is what a killed nginx of this folder left: its session has no leader.

    The file with the master's process id is still there then, and the kernel gives no process the
    id of a session that lasts. In a container's file it is 1, which says nothing here.
    """
    leader = seen.session
    if seen.name not in NGINX_NAMES or leader <= 1 or leader != _pid_in(f"{folder}/edge/pid"):
        return False
    return not is_alive(leader)


def _pid_in(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.readline())
    except (OSError, ValueError):
        return 0


def send(pid: int, number: int) -> None:
    """Signal a process; one that is gone, or not ours to signal, is left alone."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _ask_to_end(pids: dict[int, Stat | None], asked: set[int]) -> None:
    """Signal the servers that were not asked before, and leave their children to them.

    PostgreSQL gets SIGQUIT ("immediate"): its data goes with the folder, so the checkpoint of a
    clean stop would be work for nothing.
    """
    for pid, seen in pids.items():
        if pid in asked or (seen is not None and seen.parent in pids):
            continue
        asked.add(pid)
        is_postgres = seen is not None and seen.name == "postgres"
        send(pid, signal.SIGQUIT if is_postgres else signal.SIGTERM)


def clean(folder: str, grace_s: float = GRACE_S, limit_s: float = LIMIT_S) -> bool:
    """Stop every server that works in ``folder`` and remove the folder; True when both are done.

    Servers that do not end within ``grace_s`` are killed. A server can appear late (its parent
    was killed between fork and exec, or another process restarts it at this moment), so the
    folder only goes after two looks that found nobody, and the look is repeated after that.
    """
    import shutil  # not needed while on watch, and slow to import

    began = time.monotonic()
    helpers = _clear_elsewhere(folder)
    asked: set[int] = set()
    empty_looks = 0
    while time.monotonic() - began < limit_s:
        pids = inhabitants(folder)
        if pids:
            empty_looks = 0
            if time.monotonic() - began < grace_s:
                _ask_to_end(pids, asked)
            else:
                for pid in pids:
                    send(pid, signal.SIGKILL)
        elif empty_looks < 2:
            empty_looks += 1
        elif (
            any(helper.poll() is None for helper in helpers)
            and time.monotonic() - began < 0.9 * limit_s
        ):
            pass  # they read what to remove from the folder
        elif os.path.lexists(folder):
            shutil.rmtree(folder, ignore_errors=True)
            empty_looks = 0
        else:
            return True
        time.sleep(POLL_S)
    return not os.path.lexists(folder) and not inhabitants(folder)


_ELSEWHERE = {
    "leftovers-": "perflab.services.external.leftovers",
    "docker": "perflab.services.docker.leftovers",
}
"""With what the files in the folder begin that say what the lab has made outside of it, and the
programs that remove that: the user's own servers, the Docker daemon."""


def _clear_elsewhere(folder: str) -> list[subprocess.Popen[bytes]]:
    """Have the package remove what the lab made outside its folder, where it made anything.

    In processes of their own, since that takes drivers; in none where there is nothing to remove.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    modules = [
        module
        for start, module in _ELSEWHERE.items()
        if any(name.startswith(start) and name.endswith(".json") for name in names)
    ]
    if not modules:
        return []
    import subprocess  # not needed while on watch, and slow to import

    place = os.path.abspath(__file__)
    for _ in range(3):
        place = os.path.dirname(place)
    helpers = []
    for module in modules:
        try:
            helper = subprocess.Popen(
                [sys.executable, "-m", module, folder],
                cwd=place,  # from where the package can be imported
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            continue
        helpers.append(helper)
    return helpers


def machine() -> str:
    """This boot and this process-id namespace: only within both does a process id mean anything."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return "unknown"


def _watch(owner: int) -> None:
    """Return when the owner has ended or asks for the end."""
    watched = [0]
    # Linux wakes us at the owner's end; the time limit below serves everything else.
    if sys.platform == "linux" and hasattr(os, "pidfd_open"):
        try:
            watched.append(os.pidfd_open(owner))
        except OSError:
            watched = [0]
    while os.getppid() == owner:
        if select.select(watched, [], [], 1.0)[0]:
            return


def _answer(text: str) -> None:
    """Tell the owner; where it was killed meanwhile, what is left to do is the same."""
    try:
        os.write(1, text.encode())
    except BrokenPipeError:
        return


def main() -> None:
    """Make the folder, say so, watch the owner, clean up."""
    folder, owner = sys.argv[1], int(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        os.mkdir(folder, 0o700)
        with open(f"{folder}/machine", "w", encoding="ascii") as file:
            file.write(machine())
    except OSError as error:
        _answer(str(error.strerror))
        sys.exit(1)
    _answer("ready")
    os.close(1)
    _watch(owner)
    clean(folder)


if __name__ == "__main__":
    main()
