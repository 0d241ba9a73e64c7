"""A Redis Cluster of three nodes for the tests: started once, by whichever test asks first."""

from __future__ import annotations

import functools
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from perflab.services.embedded.binaries import find_redis
from perflab.services.ports import free_ports

NODES = 3
SLOTS = 16384
PATIENCE_S = 60.0


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """Clients of three primaries that share the slots."""
    ports = free_ports()
    started: list[_Node] = []
    try:
        started.extend(_start(ports, tmp_path_factory.mktemp("node")) for _ in range(NODES))
        clients = [node.client for node in started]
        for number, client in enumerate(clients):
            first, end = SLOTS * number // NODES, SLOTS * (number + 1) // NODES
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in started[1:]:
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", node.port, node.bus)
        for client in clients:
            _wait_until(functools.partial(_is_up, client))
        yield clients
    finally:
        for node in started:
            node.stop()


@pytest.fixture
def cluster(nodes: list[Any]) -> str:
    """The URL of one node."""
    return f"redis://127.0.0.1:{nodes[1].connection_pool.connection_kwargs['port']}"


def _wait_until(true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "the cluster did not come up"
        time.sleep(0.05)


def _is_up(client: Any) -> bool:
    try:
        state = client.execute_command("CLUSTER INFO")
    except redis.ConnectionError:
        return False
    return bool(state["cluster_state"] == "ok" and state["cluster_known_nodes"] == str(NODES))


class _Node(NamedTuple):
    process: subprocess.Popen[bytes]
    client: Any
    port: int
    bus: int

    def is_there_or_over(self) -> bool:
        if self.process.poll() is not None:
            return True
        try:
            return bool(self.client.info("server")["process_id"] == self.process.pid)
        except redis.ConnectionError:
            return False

    def stop(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()


def _start(ports: Iterator[int], home: Path) -> _Node:
    """A node; another one where somebody else was quicker to take its ports."""
    for _ in range(5):
        port, bus = next(ports), next(ports)
        options = f"--port {port} --cluster-port {bus} --cluster-enabled yes --bind 127.0.0.1"
        process = subprocess.Popen(
            [find_redis().path, *options.split(), "--save", "", "--dir", str(home)],
            stdout=subprocess.DEVNULL,
        )
        node = _Node(process, redis.Redis(port=port), port, bus)
        _wait_until(node.is_there_or_over)
        if node.process.poll() is None:
            return node
        node.stop()
    raise AssertionError("no node of the cluster could be started")
