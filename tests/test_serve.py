"""``perflab serve``: what it prints works, and nothing is left of it."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from perflab.paths import data_dir
from perflab.realtime.scenarios import load_sockets, run_sockets, summarise_sockets
from perflab.services.ports import free_ports

PROFILES = Path(__file__).parent / "fixtures" / "profiles.toml"
PERFLAB = str(Path(sys.executable).with_name("perflab"))


def refused(*arguments: str) -> str:
    """What a call says that must end in one line and exit code 2."""
    done = subprocess.run(
        [PERFLAB, "serve", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "Traceback" not in said
    return " ".join(said.split())


def test_a_mistake_is_one_line_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"--port {port}: is in use; choose another one" in refused("--port", str(port))
        assert f"--hub-port {port}: is in use" in refused("--hub-port", str(port))
    assert "services='cloud' is unknown" in refused("--services", "cloud")
    assert "profile='huge' is unknown" in refused("--profile", "huge")
    assert "65535" in refused("--port", "70000")
    assert "--port" in refused("--port", "x")
    assert "choose two" in refused("--port", "8123", "--hub-port", "8123")
    assert "there is no folder" in refused("--accounts", "/nowhere/accounts.csv")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A TMPDIR that the servers' own user may enter, which pytest's folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="serve-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_curl_lines_work_and_a_signal_leaves_nothing(
    number: signal.Signals, temporary: Path, tmp_path: Path
) -> None:
    ports = free_ports()
    port, hub_port = next(ports), next(ports)
    environment = {
        **os.environ,
        "PERFLAB_PROFILES": str(PROFILES),
        "PERFLAB_CACHE_DIR": str(tmp_path),
        "TMPDIR": str(temporary),
        "PYTHONUNBUFFERED": "1",
    }
    command = [
        PERFLAB,
        "serve",
        "--services",
        "embedded",
        "--profile",
        "smoke",
        "--port",
        str(port),
        "--hub-port",
        str(hub_port),
        "--accounts",
        str(tmp_path / "accounts.csv"),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line.rstrip("\n"))
            if line.startswith("the hub is at"):
                break
        lines = [line for line in said if "curl -s" in line]
        assert len(lines) == 10, said
        family = psutil.Process(process.pid).children(recursive=True)
        assert family
        script = "set -e\n" + "\necho\n".join(lines)
        answers = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, timeout=30, check=False
        )
        assert answers.returncode == 0, answers.stderr
        for part in (
            '"checkins":', '"tasks":[{"id":', '"title":"Try the API"', "HTTP/1.1 200 OK",
            '"open_tasks":{', "perflab_pool_requests_total", '{"notes":[', '{"habits":[',
            '{"responses":[{"status":200', '{"openapi":"3.1.0"',
        ):  # fmt: skip
            assert part in answers.stdout, (part, answers.stdout)
        assert stat.S_IMODE((tmp_path / "accounts.csv").stat().st_mode) == 0o600
        with (tmp_path / "accounts.csv").open(newline="") as file:
            accounts = list(csv.DictReader(file))
        assert len({account["address"] for account in accounts}) == len(accounts) == 200
        task = httpx.get(
            f"http://127.0.0.1:{port}/tasks/{accounts[-1]['task']}",
            headers={"authorization": f"Bearer {accounts[-1]['token']}"},
        )
        assert task.status_code == 200
        shipped = data_dir() / "scenarios" / "websocket_connections.toml"
        sockets = load_sockets(
            shipped,
            target=f"ws://127.0.0.1:{hub_port}",
            data={"account": tmp_path / "accounts.csv"},
            duration_s=0.5,
        )
        assert summarise_sockets(run_sockets(sockets)).total.connections == 1_000
        # nothing of the demo's password where others could read it
        command_line = " ".join(psutil.Process(process.pid).cmdline())
        assert "password" not in command_line
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(30) == 0, rest
        assert "nothing is left" in rest
        assert "Traceback" not in rest
        assert until_gone(family)
        assert list(temporary.iterdir()) == []
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()


def until_gone(processes: list[psutil.Process], patience_s: float = 10.0) -> bool:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if not any(one.is_running() for one in processes):
            return True
        time.sleep(0.05)
    return False
