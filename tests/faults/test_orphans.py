"""No server and no folder outlives the lab, however the lab's process ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from jupyter_client.manager import KernelManager

from perflab.services import attach_services, open_services, warden
from perflab.services.home import sweep

from .owners import (
    LIMIT_S,
    RESTART_BOTH,
    RESTART_EDGE,
    STAY,
    Owner,
    attached,
    homes_of,
    until,
    watchdog_of,
)

OPEN = """
import os, sys, threading, time
from perflab.services import PostgresSettings, open_services
services = open_services(
    "embedded",
    settings=PostgresSettings(shared_buffers_mb=32),
    only=["postgres", "redis", "edge"],
)
print(services.share(), flush=True)
"""
OPEN_EDGE = OPEN.replace('"postgres", "redis", ', "")


def processes_of(home: Path, *, and_watchdog: bool = True) -> list[str]:
    """Everything that mentions the folder or works in it, found without the code under test."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            is_watchdog = "warden.py" in line
            if process.status() == psutil.STATUS_ZOMBIE or (is_watchdog and not and_watchdog):
                continue
            if home.name in line or process.cwd().startswith(str(home)):
                found.append(f"{process.pid} {line or process.name()}")
    return found


def assert_nothing_left(home: Path) -> None:
    assert until(lambda: not home.exists() and not processes_of(home)), (
        processes_of(home),
        list(home.rglob("*"))[:20],
    )


def shared_memory_of(pid: int) -> list[str]:
    """System V segments made by a process, which survive a server that was killed."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return [line for line in lines if line.split()[4] == str(pid)]


def test_killed_owner_leaves_nothing(own: Callable[..., Owner]) -> None:
    owner = own(OPEN + STAY)
    home = owner.share().parent
    postmaster = int((home / "pg/data/postmaster.pid").read_text().splitlines()[0])
    for name in ("postgres", "edge", "redis|valkey"):
        assert [line for line in processes_of(home) if re.search(name, line)], name
    assert shared_memory_of(postmaster)
    owner.kill()
    assert_nothing_left(home)
    assert not shared_memory_of(postmaster)


def test_killed_owner_with_open_sessions_at_work_leaves_nothing(own: Callable[..., Owner]) -> None:
    owner = own(OPEN + STAY)
    share = owner.share()
    conninfo = attach_services(share).postgres.conninfo()
    with closing(psycopg.connect(conninfo)) as idle, closing(psycopg.connect(conninfo)) as busy:
        idle.execute("SELECT 1")
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000)")
        owner.kill()
        assert_nothing_left(share.parent)


@pytest.mark.parametrize(
    "sign",
    [
        "machine",
        "redis/pid",
        "pg",
        "pg/initdb",
        "pg/data",
        "pg/data/postmaster.pid",
        "edge",
        "edge/pid",
        "edge/alive",
    ],
)
def test_owner_killed_while_it_starts_leaves_nothing(
    own: Callable[..., Owner], tmp_path: Path, sign: str
) -> None:
    # the edge comes last, so that "edge" is the sign of a lab with all three
    program = OPEN_EDGE if sign.startswith("edge/") else OPEN
    # an empty cache, so that initdb runs as well
    owner = own(program + STAY, PERFLAB_CACHE_DIR=str(tmp_path))
    pid = owner.process.pid
    assert until(lambda: any((home / sign).exists() for home in homes_of(pid)), 30.0)
    (home,) = homes_of(pid)
    owner.kill()
    assert_nothing_left(home)


@pytest.mark.parametrize("delay_s", [0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6])
def test_owner_killed_at_any_moment_leaves_nothing(
    own: Callable[..., Owner], delay_s: float
) -> None:
    owner = own(OPEN + STAY)
    pid = owner.process.pid
    time.sleep(delay_s)
    owner.kill()
    assert until(lambda: not homes_of(pid)), homes_of(pid)
    left = Path(f"perflab-{pid}-")
    assert until(lambda: not processes_of(left)), processes_of(left)


def test_owner_killed_before_its_watchdog_is_ready_leaves_nothing(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # nobody is there to hear "ready"
    with os.fdopen(writer, "wb") as unheard:
        watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", warden.__file__, tmp_path / "home", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=unheard,
        )
    assert watchdog.wait(LIMIT_S) == 0
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("program", ["sys.exit(3)\n", "raise RuntimeError\n", "os.abort()\n"])
def test_owner_that_ends_without_closing_leaves_nothing(
    own: Callable[..., Owner], program: str
) -> None:
    owner = own(OPEN + program)
    assert_nothing_left(owner.share().parent)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signalled_owner_leaves_nothing(own: Callable[..., Owner], number: int) -> None:
    owner = own(OPEN + STAY)
    home = owner.share().parent
    owner.process.send_signal(number)
    assert_nothing_left(home)


def test_forked_child_that_holds_the_pipe_does_not_keep_servers(own: Callable[..., Owner]) -> None:
    owner = own(OPEN + "if os.fork() == 0: print(os.getpid(), flush=True)\n" + STAY)
    home = owner.share().parent
    child = int(str(owner.share()))
    try:
        owner.kill()
        assert psutil.pid_exists(child)
        assert_nothing_left(home)
    finally:
        os.kill(child, signal.SIGKILL)


def test_services_opened_in_a_thread_outlive_it_and_not_the_process(
    own: Callable[..., Owner],
) -> None:
    body = "".join(f"    {line}\n" for line in OPEN.strip().splitlines()[2:])
    program = "".join(OPEN.strip("\n").splitlines(keepends=True)[:2])
    program += f"kept = []\ndef work():\n{body}    kept.append(services)\n"
    program += "t = threading.Thread(target=work); t.start(); t.join()\n"
    owner = own(program + STAY)
    share = owner.share()
    with psycopg.connect(attach_services(share).postgres.conninfo()) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    owner.kill()
    assert_nothing_left(share.parent)


@pytest.mark.parametrize("attached_stays", [True, False])
def test_server_restarted_by_another_process_ends_with_its_owner(
    own: Callable[..., Owner], attached_stays: bool
) -> None:
    owner = own(OPEN + STAY)
    share = owner.share()
    program = "services.postgres.restart(); services.redis.restart()\nprint(1, flush=True)\n"
    other = attached(share, program + (STAY if attached_stays else ""))
    try:
        assert other.stdout is not None
        with other.stdout:
            assert other.stdout.readline() == "1\n"
        if not attached_stays:
            assert other.wait() == 0
        owner.kill()
        assert until(
            lambda: (
                not share.parent.exists()
                and not [line for line in processes_of(share.parent) if " -c " not in line]
            )
        ), processes_of(share.parent)
    finally:
        other.kill()
        other.wait()


def test_owner_killed_while_another_process_restarts_leaves_nothing(
    own: Callable[..., Owner],
) -> None:
    owner = own(OPEN + STAY)
    share = owner.share()
    other = attached(share, RESTART_BOTH)
    assert other.stdout is not None
    with other.stdout:
        assert other.stdout.readline() == "1\n"
        owner.kill()
        assert until(lambda: not share.parent.exists())
        last = other.stdout.readlines()[-1]
    assert other.wait() == 0
    assert "Traceback" not in last
    assert_nothing_left(share.parent)


@pytest.mark.parametrize("moment", ["restarted", "served", "killed"])
def test_owner_killed_while_it_restarts_its_edge_leaves_nothing(
    own: Callable[..., Owner], moment: str
) -> None:
    owner = own(OPEN_EDGE + RESTART_EDGE)
    home = owner.share().parent
    assert owner.process.stdout
    assert any(line == f"{moment}\n" for line in owner.process.stdout)
    owner.kill()
    assert_nothing_left(home)


def test_edge_whose_master_was_killed_ends_with_its_owner(own: Callable[..., Owner]) -> None:
    owner = own(OPEN_EDGE + STAY)
    home = owner.share().parent
    master = psutil.Process(int((home / "edge/pid").read_text()))
    workers = master.children()
    assert workers
    master.kill()
    owner.kill()
    assert_nothing_left(home)
    assert until(lambda: not any(worker.is_running() for worker in workers))


def test_watchdog_ignores_the_signals_of_a_terminal(own: Callable[..., Owner]) -> None:
    owner = own(OPEN + STAY)
    home = owner.share().parent
    watchdog = owner.watchdog()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        watchdog.send_signal(number)
    assert os.getsid(watchdog.pid) == watchdog.pid != os.getsid(0)
    owner.kill()
    assert_nothing_left(home)


def test_close_without_a_watchdog_leaves_nothing(own: Callable[..., Owner]) -> None:
    owner = own(OPEN + "sys.stdin.readline()\nservices.close()\n")
    home = owner.share().parent
    watchdog = owner.watchdog()
    watchdog.kill()
    assert home.exists()
    owner.process.send_signal(signal.SIGTERM)
    owner.process.wait()
    # neither is left to clean up: that is the next lab's to do
    assert processes_of(home)
    assert home in sweep()
    assert_nothing_left(home)


def test_owner_does_the_work_of_a_killed_watchdog() -> None:
    services = open_services("embedded", only={"redis"})
    home = services.share().parent
    watchdog_of(os.getpid(), home.name).kill()
    services.close()
    assert_nothing_left(home)


def test_sweep_leaves_living_labs_and_foreign_folders_alone(tmp_path: Path) -> None:
    me = psutil.Process()
    living = tmp_path / f"perflab-{me.pid}-{_ticks(me.pid)}-0123abcd"
    foreign = tmp_path / "perflab-results"
    elsewhere = tmp_path / "perflab-4194304-1-0123abcd"
    link = tmp_path / "perflab-4194304-2-0123abcd"
    dead = tmp_path / "perflab-4194304-3-0123abcd"
    for folder in (living, foreign, elsewhere, dead):
        folder.mkdir()
    link.symlink_to(foreign)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    here = Path("/proc/self/ns/pid").readlink()
    for folder in (living, dead):
        (folder / "machine").write_text(f"{boot} {here}")
    # another container with the same temporary folder: its process ids mean nothing here
    (elsewhere / "machine").write_text(f"{boot} pid:[1]")
    assert sweep(tmp_path) == (dead,)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for path in (living, foreign, elsewhere, link)
    )
    (elsewhere / "machine").write_text("an-earlier-boot pid:[1]")
    assert sweep(tmp_path) == (elsewhere,)


def _ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@pytest.fixture
def kernel() -> Iterator[KernelManager]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(extra_arguments=["--HistoryManager.enabled=False"])
    yield manager
    manager.shutdown_kernel(now=True)


def _run_in(kernel: KernelManager, code: str) -> str:
    client = kernel.client()
    client.start_channels()
    said: list[str] = []

    def hear(message: dict[str, dict[str, str]]) -> None:
        said.append(message["content"].get("text", "") or str(message["content"].get("evalue", "")))

    try:
        client.wait_for_ready(timeout=60)
        client.execute_interactive(code, timeout=60, output_hook=hear)
    finally:
        client.stop_channels()
    return "".join(said).strip()


def test_interrupted_kernel_keeps_its_servers_and_a_killed_one_does_not(
    kernel: KernelManager,
) -> None:
    share = Path(_run_in(kernel, OPEN))
    kernel.interrupt_kernel()
    with psycopg.connect(attach_services(share).postgres.conninfo()) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    assert _run_in(kernel, "print(services.redis.port > 0)") == "True"
    kernel.signal_kernel(signal.SIGKILL)
    assert_nothing_left(share.parent)


def test_kernel_that_is_shut_down_or_restarted_leaves_nothing(kernel: KernelManager) -> None:
    home = Path(_run_in(kernel, OPEN)).parent
    kernel.restart_kernel()
    assert_nothing_left(home)
    home = Path(_run_in(kernel, OPEN)).parent
    kernel.shutdown_kernel()
    assert_nothing_left(home)
