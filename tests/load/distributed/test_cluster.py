"""On real workers of a Dask cluster: the same totals, a lost one, Ctrl-C, mistakes."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from perflab.load import LoadError
from perflab.load.distributed import conduct, dask_crew
from perflab.load.distributed.dask_crew import FarMember, crew
from perflab.load.scenarios import load_scenario, run_scenario

from ..server import Server, serving
from .test_members import answer, first_steps, shop

pytest.importorskip("distributed", reason="Dask is not installed (extra: distributed)")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(answer) as running:
        yield running


def test_workers_of_a_cluster_make_the_load_of_one_process(
    scheduler: str, server: Server, tmp_path: Path
) -> None:
    scenario = shop(server, tmp_path, more='abort = ["error_rate > 0.5"]')
    alone = run_scenario(scenario)
    with crew(scenario, workers=2, scheduler=scheduler) as members:
        run = conduct(scenario, members)
    assert first_steps(run) == first_steps(alone)
    assert np.bincount(run.verdict).tolist() == np.bincount(alone.verdict).tolist()
    assert (run.ended, run.workers) == ("done", 2)
    assert 0 < run.clocks_ms < 1_000
    with (
        pytest.raises(LoadError, match="--workers 3: the cluster has 2 workers"),
        crew(scenario, workers=3, scheduler=scheduler),
    ):
        pass


def test_worker_that_is_killed_is_named_and_its_run_void(
    scheduler: str, server: Server, tmp_path: Path
) -> None:
    scenario = shop(server, tmp_path, duration_s=60)
    with crew(scenario, workers=None, scheduler=scheduler) as members:
        name, member = next(iter(members.items()))
        assert isinstance(member, FarMember)
        pid = int(name.rpartition("pid ")[2].rstrip(")"))

        def kill(progress: object) -> None:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)

        began = time.monotonic()
        run = conduct(scenario, members, kill)
    assert time.monotonic() - began < 20
    assert run.ended == "aborted"
    assert run.void_reason == f"worker {name} was lost: what it measured is missing"


def test_ctrl_c_prints_what_all_workers_measured_and_leaves_none(
    server: Server, tmp_path: Path
) -> None:
    shop(server, tmp_path, duration_s=60)
    process = psutil.Popen(
        [str(Path(sys.executable).with_name("perflab")), "load", str(tmp_path / "s.toml"),
         "--target", f"http://127.0.0.1:{server.port}", "--workers", "2",
         "--json", str(tmp_path / "out.json")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 40
    while len(server.asked) < 60 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = process.children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "2 workers made it together" in said
    found: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    assert found["ended"] == "interrupted"
    assert found["total"]["requests"] > 20
    assert len(children) >= 2
    assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.parametrize(
    "address",
    [
        "foo", " ", "tcp://127.0.0.1", "tcp://[::1", "tcp://127.0.0.1:99999", "ucx://h:1",
        "tcp://me:hush@127.0.0.1:9", "tcp://127.0.0.1:9/?token=hush", "inproc://x",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_scheduler_is_one_line_without_its_secrets(
    address: str, server: Server, tmp_path: Path
) -> None:
    with (
        pytest.raises(LoadError, match="must be the address of a Dask scheduler") as caught,
        crew(shop(server, tmp_path), workers=None, scheduler=address),
    ):
        pass
    assert "hush" not in str(caught.value)


def test_a_server_that_is_no_scheduler_is_one_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_crew, "CONNECT_S", 0.5)
    for scheme, reason in (("tcp", "not within 0.5 s"), ("tls", "ssl_context")):
        address = f"{scheme}://127.0.0.1:{server.port}"
        with (
            pytest.raises(LoadError, match=f"no Dask scheduler answers there .*{reason}"),
            crew(shop(server, tmp_path), workers=None, scheduler=address),
        ):
            pass


def test_scheduler_that_is_not_there_is_one_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_crew, "CONNECT_S", 0.5)
    with (
        pytest.raises(LoadError, match="no Dask scheduler answers there"),
        crew(shop(server, tmp_path), workers=None, scheduler="tcp://127.0.0.1:9"),
    ):
        pass


def test_more_workers_than_users_are_refused(
    scheduler: str, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "s.toml"
    shop(server, tmp_path)
    path.write_text(path.read_text().replace("users = 7", "users = 1"))
    scenario = load_scenario(path, target=f"http://127.0.0.1:{server.port}")
    with (
        pytest.raises(LoadError, match="workers for 1 users"),
        crew(scenario, workers=None, scheduler=scheduler),
    ):
        pass


def test_without_dask_one_line_says_what_to_install(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with (
        pytest.raises(LoadError, match=r"pip install 'perflab\[distributed\]'"),
        crew(shop(server, tmp_path), workers=2, scheduler=""),
    ):
        pass
